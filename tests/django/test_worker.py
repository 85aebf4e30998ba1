"""`manage.py pgq_worker`: real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

import pgq_django
from pgq_django.compat import task_backends
from pgq_django.models import Attempt, Job, Schedule
from pgq_django.models import Worker as WorkerRow
from pgq_django.verbs import Verbs, at_once
from tests.django.processes import drain, worker
from tests.django.shop import tasks
from tests.django.shop.models import Note
from tests.django.support import alias_on, state
from tests.support import until


def test_plain_and_coroutine_tasks_run(db: Any) -> None:
    """A worker runs plain tasks in threads and coroutine tasks on its loop, and stores results."""
    plain = tasks.write_note.enqueue("plain")
    coroutine = tasks.write_note_async.enqueue("coroutine")
    thread = tasks.thread_name.enqueue()
    context = tasks.attempt_number.enqueue()
    drain()
    for result in (plain, coroutine, thread, context):
        result.refresh()
    assert plain.return_value == Note.objects.get(text="plain").pk
    assert coroutine.return_value == "coroutine"
    assert thread.return_value.startswith("pgq-handler")
    assert context.return_value == 1
    assert plain.attempts == 1
    assert None not in (plain.started_at, plain.finished_at)
    assert plain.started_at <= plain.finished_at
    assert Note.objects.count() == 2


def test_garbage_collection_leaves_the_project_alone(db: Any) -> None:
    """A worker process does not walk through your whole project again and again."""
    found = tasks.set_aside.enqueue()
    drain()
    found.refresh()
    assert found.return_value > 10_000


def test_a_batch_and_its_callback(db: Any) -> None:
    """A worker runs a batch of tasks, then its callbacks, plain or not, which read the results."""
    with pgq_django.batch(on_done=tasks.collect, on_success=tasks.read_and_ask) as batch:
        for number in (1, 2, 3):
            batch.add(tasks.add, args=[number])
    drain()
    plain, coroutine = (
        task_backends["default"].get_result(f"pgq-{id_}") for id_ in batch.callback_ids
    )
    assert plain.return_value == [1, 2, 3]
    assert sorted(coroutine.return_value[0]) == [1, 2, 3]
    assert state(coroutine.return_value[1]) == "succeeded"


def test_a_failing_task_is_retried_and_keeps_every_error(db: Any) -> None:
    """A task that fails is tried as often as its options say; each attempt leaves its traceback."""
    result = tasks.fail.enqueue("no such thing")
    drain()
    result.refresh()
    assert result.status == "FAILED"
    assert len(result.errors) == 3 == result.attempts
    assert result.errors[0].exception_class is LookupError
    assert result.errors[0].traceback.endswith("LookupError: no such thing\n")
    with pytest.raises(ValueError, match="Task failed"):
        result.return_value  # noqa: B018


def test_an_unstorable_result_fails_the_task_once(db: Any) -> None:
    """A return value JSON cannot hold fails the task with a TypeError, and is not tried again."""
    result = tasks.unstorable.enqueue()
    drain()
    result.refresh()
    assert result.status == "FAILED"
    assert [error.exception_class for error in result.errors] == [TypeError]


@pytest.mark.parametrize("fail", [False, True])
def test_atomic(db: Any, fail: bool) -> None:
    """With atomic=True a task's writes and its completion are one transaction."""
    result = tasks.note_and_fail.enqueue("x", fail)
    drain()
    result.refresh()
    assert result.status == ("FAILED" if fail else "SUCCESSFUL")
    assert Note.objects.count() == (0 if fail else 1)
    assert result.attempts == 1


def test_atomic_without_a_lease(db: Any) -> None:
    """A task that lost its lease while it ran cannot commit: its writes are rolled back."""
    with worker():
        made = pgq_django.enqueue(tasks.write_and_wait, args=["go"])
        until(lambda: state(made) == "running")
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM pgq_leases")
        Note.objects.create(text="go")
        until(lambda: Attempt.objects.filter(job_id=made).exists() or state(made) == "lost")
    assert [note.text for note in Note.objects.all()] == ["go"]
    assert not Attempt.objects.filter(job_id=made, outcome="succeeded").exists()


def test_a_signal_lets_the_running_task_finish(db: Any) -> None:
    """SIGTERM stops claiming; the task that runs may finish, and the process exits with 0."""
    with worker() as process:
        result = tasks.wait_for_note.enqueue("go")
        until(lambda: state(result.id) == "running")
        process.send_signal(signal.SIGTERM)
        Note.objects.create(text="go")
        assert process.wait(30) == 0
    result.refresh()
    assert result.status == "SUCCESSFUL"


def test_a_second_signal_gives_the_running_task_back(db: Any) -> None:
    """The second SIGTERM gives what runs back to the queue, unharmed."""
    with worker() as process:
        made = pgq_django.enqueue(tasks.wait_for_ever, max_attempts=2)
        until(lambda: state(made) == "running")
        process.send_signal(signal.SIGTERM)
        assert process.heeded()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert state(made) == "ready"
    assert Attempt.objects.get(job_id=made).outcome == "interrupted"


def test_a_killed_workers_task_is_run_by_another(db: Any) -> None:
    """The task of a worker that was killed is run by another one, and it shows."""
    result = tasks.wait_for_note.enqueue("go")
    with worker() as first:
        until(lambda: state(result.id) == "running")
        first.kill()
        Note.objects.create(text="go")
        with worker():
            until(lambda: state(result.id) == "succeeded")
    result.refresh()
    assert result.attempts == 2
    assert result.errors[0].exception_class is pgq_django.exceptions.WorkerLost


def test_unknown_tasks_wait_and_block_nobody(db: Any) -> None:
    """A job of a task this worker cannot import stays where it is; the next one runs."""
    unknown = pgq_django.enqueue("not.deployed.here", {"args": [], "kwargs": {}}, priority=-50)
    result = tasks.add.enqueue(1, 2)
    drain()
    result.refresh()
    assert result.return_value == 3
    assert state(unknown) == "ready"


def test_a_module_that_fails_is_tried_again(db: Any, tmp_path: Path) -> None:
    """A job whose module cannot be imported waits, blocks nobody, and runs once it can be."""
    late = pgq_django.enqueue("tests.django.shop.late.arrived", {"args": [], "kwargs": {}})
    deployed = tmp_path / "deployed"
    with worker(PGQ_TEST_DEPLOYED=str(deployed)):
        other = tasks.add.enqueue(1)
        until(lambda: state(other.id) == "succeeded")
        assert state(late) == "ready"
        assert [row["entrypoint"] for row in at_once(Verbs().unserved())] == [
            "tests.django.shop.late.arrived"
        ]
        deployed.touch()
        until(lambda: state(late) == "succeeded")


def test_a_task_outside_a_tasks_module_is_found(db: Any) -> None:
    """A task of an installed app runs even if no `tasks` module imports its module; from the next
    beat on the worker's row names it."""
    name = "tests.django.shop.elsewhere.hidden"
    made = pgq_django.enqueue(name, {"args": [4], "kwargs": {}})
    with worker("--lease", "3"):
        until(lambda: state(made) == "succeeded")
        until(lambda: name in WorkerRow.objects.get().info["entrypoints"])
    assert Attempt.objects.get(job_id=made).result == 5


def test_a_renamed_task_runs_its_old_jobs(db: Any) -> None:
    """Jobs under an earlier path of a task are run when it is named in `aliases`."""
    made = pgq_django.enqueue("shop.old_name", {"args": ["renamed"], "kwargs": {}})
    drain()
    assert state(made) == "succeeded"


def test_a_renamed_task_is_retried_under_its_old_path(db: Any) -> None:
    """The second attempt of a job under an earlier path runs like the first; its result is found."""
    made = pgq_django.enqueue("shop.old_failing", {"args": ["once"], "kwargs": {}})
    drain()
    assert state(made) == "succeeded"
    found = task_backends["default"].get_result(f"pgq-{made}")
    assert (found.return_value, found.attempts) == ("once", 2)
    assert found.task.func is tasks.new_failing.func


def test_options_by_environment(db: Any) -> None:
    """Every flag can be given by environment; only the queues asked for are served."""
    mine = tasks.add.using(queue_name="mine").enqueue(1)
    other = tasks.add.enqueue(1)
    drain(PGQ_WORKER_QUEUE="mine, elsewhere", PGQ_WORKER_THREADS="1")
    assert (state(mine.id), state(other.id)) == ("succeeded", "ready")


def test_shares_of_queues(db: Any) -> None:
    """`--queue NAME=SLOTS` keeps one queue's long tasks from taking every place."""
    long = [tasks.wait_for_note.using(queue_name="long").enqueue("go").id for _ in range(3)]
    with worker("--queue", "long=2", "--queue", "short=1"):
        until(lambda: [state(job) for job in long].count("running") == 2)
        short = tasks.add.using(queue_name="short").enqueue(1)
        until(lambda: state(short.id) == "succeeded")
        assert [state(job) for job in long].count("running") == 2
        Note.objects.create(text="go")
        until(lambda: {state(job) for job in long} == {"succeeded"})


def test_another_database(db: Any, database: str) -> None:
    """`--database` serves the queue of that alias; `--no-schedules` fires none."""
    with alias_on(database):
        made = pgq_django.enqueue(tasks.add, args=[1], using="other")
        elsewhere = tasks.add.enqueue(1)
        drain("--database", "other", "--no-schedules", PGQ_TEST_DJANGO_OTHER=database)
        assert Job.objects.using("other").get(pk=made).state == "succeeded"
        assert not Schedule.objects.using("other").exists()
    assert state(elsewhere.id) == "ready"


def test_atomic_on_another_road(db: Any) -> None:
    """With `--database` on another road to the same database, atomic=True still binds a task's
    writes, on the alias of its backend, to its completion."""
    made = [tasks.note_and_fail.enqueue(word, word == "bad") for word in ("good", "bad")]
    drain("--database", "other", PGQ_TEST_DJANGO_OTHER=os.environ["PGQ_TEST_DJANGO_DSN"])
    assert [state(one.id) for one in made] == ["succeeded", "failed"]
    assert [note.text for note in Note.objects.all()] == ["good"]


def test_a_task_that_does_not_end(db: Any) -> None:
    """A worker leaves at the second signal although a coroutine task waits in the database for
    somebody's lock; the job is given back."""
    Note.objects.create(text="locked")
    with transaction.atomic(), worker() as process:
        Note.objects.select_for_update().get(text="locked")
        made = pgq_django.enqueue_outside(tasks.wait_for_lock)
        until(lambda: state(made) == "running")
        process.send_signal(signal.SIGTERM)
        assert process.heeded()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert state(made) == "ready"


def test_max_jobs(db: Any) -> None:
    """`--max-jobs` ends the worker after so many."""
    for _ in range(3):
        tasks.add.enqueue(1)
    with worker("--max-jobs", "2") as process:
        assert process.wait(30) == 0
    assert Job.objects.filter(state="succeeded").count() == 2


def test_the_schema_is_missing(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tables the worker says which command to run, and looks at none of them before."""
    from django.core.management.base import CommandError

    looks: list[object] = []

    async def look(discovery: object) -> None:
        looks.append(discovery)

    monkeypatch.setattr("pgq_django.worker.discovery.Discovery.look", look)
    with alias_on(empty_database), pytest.raises(CommandError, match=r"manage\.py migrate"):
        call_command("pgq_worker", database="other", until_empty=True)
    assert not looks
