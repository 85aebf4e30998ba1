"""A function's parameters as one JSON object: parameter name → value.

pydantic checks and converts, at enqueue and again when the job runs. Parameters left out are not
written: they take the default that the running code has.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pgq_core.errors import InvalidArguments, InvalidInput, JobUnfit, MissingExtra
from pgq_core.models import Job
from pgq_core.tasks.signatures import check_parameters, hints_of, injection

# Bytes and the odd floats survive the way through JSON; a name nobody knows is refused.
CONFIG = {
    "extra": "forbid",
    "ser_json_bytes": "base64",
    "val_json_bytes": "base64",
    "ser_json_inf_nan": "strings",
}


class Arguments:
    """What one task takes. `injected`: Context or Job, if its first parameter asks for one."""

    def __init__(self, task: str, function: Callable[..., Any]) -> None:
        self.task = task
        self.pydantic = load_pydantic()
        hints = hints_of(task, function)
        parameters = list(inspect.signature(function).parameters.values())
        self.injected = injection(parameters, hints)
        if self.injected is not None:
            del parameters[0]
        check_parameters(task, parameters)
        self.signature = inspect.Signature(parameters)
        # Fields have names of our own: a parameter may be called `json` or `_x`, a field may not.
        self._fields = {p.name: f"p{number}" for number, p in enumerate(parameters)}
        self._model = self._model_of({p.name: hints.get(p.name, Any) for p in parameters})

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """A call's arguments as a payload, read back once. Raises InvalidArguments."""
        try:
            given = self.signature.bind_partial(*args, **kwargs).arguments
            checked = self._model.model_validate(dict(given))
            left_out = {field for name, field in self._fields.items() if name not in given}
            text: str = checked.model_dump_json(
                by_alias=True, exclude=left_out, round_trip=True, warnings=False
            )
            self._model.model_validate_json(text)
        except self.pydantic.ValidationError as error:
            raise InvalidArguments(self.task, problems(error)) from None
        except (TypeError, ValueError) as error:  # unknown names, values that are no JSON
            named = re.search(r"'(\w+)'$", str(error))
            problem = (named[1] if named else "", str(error))
            raise InvalidArguments(self.task, [problem]) from None
        return text.encode()

    def decode(self, job: Job) -> inspect.BoundArguments:
        """A job's payload as arguments. Raises JobUnfit when it does not fit the signature."""
        try:
            checked = self._model.model_validate_json(job.payload or b"{}")
        except self.pydantic.ValidationError as error:
            raise JobUnfit(job.id, self.task, problems(error)) from None
        values = {
            name: getattr(checked, field)
            for name, field in self._fields.items()
            if field in checked.model_fields_set
        }
        return inspect.BoundArguments(self.signature, values)

    def _model_of(self, types: dict[str, Any]) -> Any:
        """One model for all; which parameter pydantic cannot take is said by name."""
        fields = {self._fields[name]: self._field(name, hint) for name, hint in types.items()}
        try:
            return self.pydantic.create_model(self.task, __config__=CONFIG, **fields)
        except self.pydantic.PydanticUserError:
            for name, hint in types.items():
                try:
                    self.pydantic.TypeAdapter(hint)
                except self.pydantic.PydanticUserError as error:
                    raise InvalidInput(
                        f"task {self.task!r}: parameter {name!r} cannot be kept in a payload: "
                        f"{error.message.splitlines()[0]}"
                    ) from None
            raise

    def _field(self, name: str, hint: Any) -> tuple[Any, Any]:
        required = self.signature.parameters[name].default is inspect.Parameter.empty
        default = {} if required else {"default": None}
        return hint, self.pydantic.Field(alias=name, **default)


def load_pydantic() -> Any:
    """pydantic, which only typed tasks need. Raises MissingExtra."""
    try:
        import pydantic  # noqa: PLC0415  (optional)
    except ImportError:
        raise MissingExtra("typed tasks (@pgq.task)", "pydantic") from None
    return pydantic


def problems(error: Any) -> list[tuple[str, str]]:
    """What pydantic found: the path of a value, and what is wrong with it."""
    return list(_problems(error))


def _problems(error: Any) -> Iterator[tuple[str, str]]:
    for found in error.errors(include_url=False, include_context=False):
        got = "" if found["type"] == "missing" else f" (got {type(found['input']).__name__})"
        yield ".".join(map(str, found["loc"])), found["msg"] + got
