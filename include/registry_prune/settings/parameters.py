"""What one run is asked to do: its parameters, and the trigger form that is built from them (pure)."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)

from include.registry_prune.units import DURATION_PATTERN, SIZE_PATTERN, parse_duration, parse_size
from include.registry_prune.verdict.evidence import Ceiling, Mode, Thresholds
from include.registry_prune.verdict.rules import Action


class SettingsError(Exception):
    """A setting or parameter is wrong; the message names each, and what it should be."""


def _checked_size(text: str) -> str:
    parse_size(text)
    return text


def _checked_duration(text: str) -> str:
    parse_duration(text)
    return text


def _whole_number(value: Any) -> Any:
    """For JSON, and so for the trigger form, 1000.0 is the whole number 1000."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Size = Annotated[str, AfterValidator(_checked_size), WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN})]
Duration = Annotated[
    str, AfterValidator(_checked_duration), WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})
]
WHOLE_NUMBER = BeforeValidator(_whole_number)


@cache
def _texts(module: str) -> dict[str, dict[str, str]]:
    """The text below each field of each class of a module, by class and field."""
    tree = ast.parse(Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {each.name: dict(_texts_of(each)) for each in classes}


def _texts_of(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(node.body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield field.target.id, inspect.cleandoc(str(below.value.value))


class StrictModel(BaseModel):
    """Takes only what it knows, in the type that it names. The text below each field is its description: for the
    trigger form, ``docs/settings.md`` and ``clusters.example.yaml``."""

    # Built when it is first used, with the descriptions in it. Pydantic's own way to find them looks at the files of
    # all modules that are loaded, which took each task 0.15 s, also inside the window.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, text in _texts(cls.__module__).get(cls.__name__, {}).items():
            if name in cls.__pydantic_fields__:
                cls.__pydantic_fields__[name].description = text


class RunningBuilds(StrEnum):
    """What to do about builds that still run when the wait is over: their push would fail."""

    SKIP = "skip"
    STOP = "stop"
    GO_ON = "go_on"

    @property
    def action(self) -> Action:
        """As a verdict has it."""
        return {"skip": Action.SKIP, "stop": Action.STOP, "go_on": Action.PRUNE}[self.value]


class DeleteBy(StrEnum):
    """How the hard prune deletes."""

    DOCKERREGISTRY = "dockerregistry"
    LIST = "list"


def _shown(title: str, section: str, **schema: Any) -> Any:
    """How the trigger form shows a parameter.

    :param schema: further keywords of its JSON schema.
    """
    return Field(title=title, json_schema_extra={"section": section, **schema})


_THE_RUN, _BASE_PRUNE, _THRESHOLDS, _CEILINGS = "The run", "Base prune", "When to hard-prune", "Ceilings"


class RunParameters(StrictModel):
    """What one run is asked to do: the trigger form, with the cluster's defaults in it."""

    # Not strict, here and below: JSON has strings and lists, no enumerations and tuples.
    hard_prune: Annotated[Mode, Field(strict=False), _shown("Hard prune", _THE_RUN)] = Mode.AUTO
    """auto: when a threshold is reached. force: whatever is found; the ceilings still hold. never: base prune and
    survey only."""

    dry_run_only: Annotated[bool, _shown("Dry run only", _THE_RUN)] = False
    """Show what the base prune and the hard prune would delete, by a survey. Nothing is deleted, and the registry is
    never read-only."""

    delete_by: Annotated[DeleteBy, Field(strict=False), _shown("Delete by", _THE_RUN)] = DeleteBy.DOCKERREGISTRY
    """How the hard prune deletes. dockerregistry: the documented delete, which the vendor supports; it decides anew
    what it deletes, one blob after another. list: exactly the list that the gate judged, in batches, by a pod of this
    project's small image: seconds where the other takes hours. Needs the setting small_image, and storage on a file
    system or S3."""

    survey: Annotated[bool, _shown("Survey", _THE_RUN)] = True
    """Do a dry run first, while the registry takes pushes, and open the read-only window only if it is worth it. Off:
    the documented order, with a window in every run."""

    integrity_check: Annotated[bool, _shown("Integrity check", _THE_RUN)] = True
    """Look before and after whether every image has all of its blobs. Each look takes about as long as a dry run,
    outside the window."""

    running_builds: Annotated[RunningBuilds, Field(strict=False), _shown("Running builds", _THE_RUN)] = (
        RunningBuilds.SKIP
    )
    """Builds that push to the registry fail while it is read-only. If some still run after the wait: skip the hard
    prune of this run, stop with an alert, or go_on and lose them."""

    ignore_opening_hours: Annotated[bool, _shown("Ignore the opening hours", _THE_RUN)] = False
    """Open the window at any time of the day."""

    base_prune: Annotated[bool, _shown("Base prune", _BASE_PRUNE)] = True
    """Run oc adm prune images first, also where the cluster's ImagePruner is suspended."""

    keep_tag_revisions: Annotated[
        Annotated[int, Field(ge=0, le=1_000_000), WHOLE_NUMBER] | None, _shown("Keep tag revisions", _BASE_PRUNE)
    ] = None
    """How many revisions of each tag the base prune keeps. Empty: as the cluster's ImagePruner says."""

    keep_younger_than: Annotated[Duration | None, _shown("Keep younger than", _BASE_PRUNE)] = None
    """The base prune keeps images younger than this, such as 60m or 96h. Empty: as the cluster's ImagePruner says."""

    min_blobs: Annotated[int, Field(ge=1, le=1_000_000_000), WHOLE_NUMBER, _shown("Threshold: blobs", _THRESHOLDS)] = (
        1_000
    )
    """This many orphaned blobs make a window worth it."""

    min_size: Annotated[Size, _shown("Threshold: size", _THRESHOLDS)] = "2GiB"
    """This much orphaned data makes a window worth it, such as 500MiB or 2GiB. Either threshold is enough."""

    pass_ceilings: Annotated[
        tuple[Annotated[Ceiling, Field(strict=False)], ...],
        Field(strict=False),
        _shown("Ceilings to pass", _CEILINGS, examples=[str(each) for each in Ceiling], uniqueItems=True),
    ] = ()
    """A run that stopped at a ceiling names it. Choose it here only after looking into the reason that it gave: this
    run then goes past it, and its report says who let it."""

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds as the decision takes them."""
        return Thresholds(min_blobs=self.min_blobs, min_bytes=parse_size(self.min_size))

    @property
    def unforced(self) -> RunParameters:
        """The same, for a run that an event began: by the thresholds, and below every ceiling."""
        hard_prune = Mode.AUTO if self.hard_prune is Mode.FORCE else self.hard_prune
        return self.model_copy(update={"hard_prune": hard_prune, "pass_ceilings": ()})

    @property
    def may_open_window(self) -> bool:
        """Whether the run may make the registry read-only at all."""
        return self.hard_prune is not Mode.NEVER and not self.dry_run_only

    @property
    def needs_role(self) -> bool:
        """Whether the run looks into the registry's storage, for which the registry's account needs the role."""
        return self.surveys or self.may_open_window

    @property
    def surveys(self) -> bool:
        """Whether the run looks before it would open a window."""
        return self.survey or self.dry_run_only


_GONE = {
    "delete_limit": " any more: window_limit bounds the whole window",
    "estimated_time": " any more: what does not fit into window_limit is deleted in slices",
    "survey_stands_for": " any more: the survey stands for the dry run by default; see dry_run_in_window, survey_lasts",
}
"""Settings of 0.1.0, and what has taken their place."""


def each_problem(error: ValidationError) -> list[tuple[tuple[Any, ...], str]]:
    """What is wrong with each value: the names on the way to it, and what it should be."""
    found = []
    for each in error.errors():
        place = ".".join(str(part) for part in each["loc"]) or "the whole"
        if each["type"] == "extra_forbidden":
            text = f"{place}: there is no such setting{_GONE.get(str(each['loc'][-1]), '')}"
        else:
            text = f"{place}: {each['msg'].removeprefix('Value error, ')} (it is {str(each['input'])[:80]!r})"
        found.append((each["loc"], text))
    return found


def validation_problem(error: ValidationError) -> str:
    """What is wrong with all values."""
    return "; ".join(text for _, text in each_problem(error))


def parse_parameters(conf: Mapping[str, Any], defaults: RunParameters) -> RunParameters:
    """The parameters of one run. Airflow lets unknown keys through; here they are refused.

    :param conf: what the trigger gave (the run's ``conf`` over the form's values).
    :raises SettingsError: with every wrong value.
    """
    try:
        return RunParameters.model_validate({**defaults.model_dump(), **conf})
    except ValidationError as error:
        known = ", ".join(RunParameters.model_fields)
        raise SettingsError(
            f"Parameters of this run: {validation_problem(error)}. The parameters are: {known}."
        ) from error


def one_line(description: str | None) -> str:
    """The text below a field without its line ends."""
    return " ".join((description or "").split())


@cache
def _form_schemas() -> dict[str, dict[str, Any]]:
    """Of each parameter the JSON schema that Airflow's form understands: without references, with one list of types."""
    whole = RunParameters.model_json_schema()
    definitions = whole.get("$defs", {})

    def plain(schema: Mapping[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            definition = definitions[schema["$ref"].rpartition("/")[2]]
            schema = {"type": definition["type"], "enum": definition["enum"], **schema}
        if "anyOf" in schema:
            value, null = schema["anyOf"]
            schema = {**plain(value), **schema, "type": [value["type"], null["type"]]}
        if "items" in schema:
            schema = {**schema, "items": plain(schema["items"])}
        text = {"description": one_line(schema["description"])} if "description" in schema else {}
        return {name: value for name, value in {**schema, **text}.items() if name not in ("$ref", "anyOf", "default")}

    return {name: plain(schema) for name, schema in whole["properties"].items()}


def trigger_form(defaults: RunParameters) -> dict[str, dict[str, Any]]:
    """The trigger form: for each parameter its default (``value``) and its JSON schema.

    :param defaults: the cluster's own.
    """
    values = defaults.model_dump(mode="json")
    return {name: {"value": values[name], **schema} for name, schema in _form_schemas().items()}
