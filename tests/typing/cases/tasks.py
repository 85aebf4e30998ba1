"""A task has the signature of its function."""

from uuid import UUID

from typing_extensions import reveal_type

from pgq_core import Context, Job, NewJob, PgQueuer

pgq = PgQueuer()


@pgq.task("mail", queue="mail", max_attempts=3, aliases=["old"])
async def send(to: str, copies: int = 1, *, ref: UUID | None = None) -> bool:
    return bool(to and copies and ref)


@pgq.task()
def count(number: int) -> list[int]:
    return [number]


@pgq.task()
async def with_context(context: Context, number: int) -> str:
    return str(context.job) * number


@pgq.task()
def with_job(job: Job, number: int) -> str:
    return job.entrypoint * number


async def right() -> None:
    job_id: int = await send.enqueue("a", 2, ref=UUID(int=0))
    job_id = count.using(connection=object()).enqueue_sync(number=job_id)
    new: NewJob = with_context.job(number=1)
    assert new
    reveal_type(await send.call("a"))  # E: Revealed type is "bool"
    reveal_type(await count.call(1))  # E: Revealed type is "list[int]"
    reveal_type(await with_context.call(1))  # E: Revealed type is "str"
    reveal_type(await with_job.call(1))  # E: Revealed type is "str"
    await send.using(delay=5, priority=0, unique_key="k").enqueue("a")


async def wrong() -> None:
    await send.enqueue()  # E: Missing positional argument "to"
    await send.enqueue(5)  # E: has incompatible type "int"; expected "str"
    await send.enqueue("a", kopies=2)  # E: Unexpected keyword argument "kopies"
    await send.enqueue("a", 1, UUID(int=0))  # E: Too many positional arguments
    send.job("a", copies="2")  # E: has incompatible type "str"; expected "int"
    send.using(delay=5).enqueue_sync(to=None)  # E: has incompatible type "None"; expected "str"
    await with_context.call(object())  # E: has incompatible type "object"; expected "int"
    await with_job.enqueue(job=None)  # E: Unexpected keyword argument "job"
    send.using(prioritty=5)  # E: Unexpected keyword argument "prioritty"
    send("a")  # E: not callable
    text: str = await count.call(1)  # E: expression has type "list[int]", variable has type "str"
    assert text


@pgq.task("late", max_attempts="3")  # E: has incompatible type "str"; expected "int"
async def late() -> None: ...


@pgq.task("odd", retries=3)  # E: Unexpected keyword argument "retries"
async def odd() -> None: ...
