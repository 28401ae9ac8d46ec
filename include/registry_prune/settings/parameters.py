"""What one run is asked to do: its parameters, and the trigger form that is built from them (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from include.registry_prune.units import DURATION_PATTERN, SIZE_PATTERN, parse_duration, parse_size
from include.registry_prune.verdict.evidence import Ceiling, Mode, Thresholds


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


Size = Annotated[str, AfterValidator(_checked_size)]
Duration = Annotated[str, AfterValidator(_checked_duration)]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]


class StrictModel(BaseModel):
    """Takes only what it knows, in the type that is said."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RunParameters(StrictModel):
    """What one run is asked to do: the trigger form, with the cluster's defaults in it."""

    hard_prune: Literal["auto", "force", "never"] = "auto"
    dry_run_only: bool = False
    base_prune: bool = True
    survey: bool = True
    integrity_check: bool = True
    running_builds: Literal["skip", "stop", "go_on"] = "skip"
    ignore_opening_hours: bool = False
    keep_tag_revisions: Annotated[WholeNumber, Field(ge=0, le=1_000_000)] | None = None
    keep_younger_than: Duration | None = None
    min_blobs: Annotated[WholeNumber, Field(ge=1, le=1_000_000_000)] = 1_000
    min_size: Size = "2GiB"
    # Not strict: JSON has lists and strings, no tuples and enumerations.
    pass_ceilings: Annotated[tuple[Annotated[Ceiling, Field(strict=False)], ...], Field(strict=False)] = ()

    @property
    def mode(self) -> Mode:
        """``hard_prune`` as the decision takes it."""
        return Mode(self.hard_prune)

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds as the decision takes them."""
        return Thresholds(min_blobs=self.min_blobs, min_bytes=parse_size(self.min_size))

    @property
    def may_open_window(self) -> bool:
        """Whether the run may make the registry read-only at all."""
        return self.mode is not Mode.NEVER and not self.dry_run_only

    @property
    def needs_role(self) -> bool:
        """Whether the run looks into the registry's storage, for which the registry's account needs the role."""
        return self.surveys or self.may_open_window

    @property
    def surveys(self) -> bool:
        """Whether the run looks before it would open a window."""
        return self.survey or self.dry_run_only


def validation_problem(error: ValidationError) -> str:
    """What is wrong, value by value, in one line each."""
    lines = []
    for each in error.errors():
        place = ".".join(str(part) for part in each["loc"]) or "the whole"
        if each["type"] == "extra_forbidden":
            lines.append(f"{place}: there is no such setting")
        else:
            lines.append(f"{place}: {each['msg'].removeprefix('Value error, ')} (it is {str(each['input'])[:80]!r})")
    return "; ".join(lines)


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


_THE_RUN, _BASE_PRUNE, _THRESHOLDS, _CEILINGS = "The run", "Base prune", "When to hard-prune", "Ceilings"


def trigger_form(defaults: RunParameters) -> dict[str, dict[str, Any]]:
    """The trigger form: for each parameter its default (``value``) and its JSON schema.

    :param defaults: the cluster's own.
    """
    schemas: dict[str, dict[str, Any]] = {
        "hard_prune": {
            "type": "string",
            "enum": ["auto", "force", "never"],
            "title": "Hard prune",
            "description": "auto: when a threshold is reached. force: whatever is found; the ceilings still hold. "
            "never: base prune and survey only.",
            "section": _THE_RUN,
        },
        "dry_run_only": {
            "type": "boolean",
            "title": "Dry run only",
            "description": "Show what the base prune and the hard prune would delete, by a survey. Nothing is deleted, "
            "and the registry is never read-only.",
            "section": _THE_RUN,
        },
        "survey": {
            "type": "boolean",
            "title": "Survey",
            "description": "Do a dry run first, while the registry takes pushes, and open the read-only window only if "
            "it is worth it. Off: the documented order, with a window in every run.",
            "section": _THE_RUN,
        },
        "integrity_check": {
            "type": "boolean",
            "title": "Integrity check",
            "description": "Look before and after whether every image has all of its blobs. Takes about as long as a "
            "dry run, outside the window.",
            "section": _THE_RUN,
        },
        "running_builds": {
            "type": "string",
            "enum": ["skip", "stop", "go_on"],
            "title": "Running builds",
            "description": "Builds that push to the registry fail while it is read-only. If they still run after the "
            "wait: skip the hard prune of this run, stop with an alert, or go_on and lose them.",
            "section": _THE_RUN,
        },
        "ignore_opening_hours": {
            "type": "boolean",
            "title": "Ignore the opening hours",
            "description": "Open the window at any time of the day.",
            "section": _THE_RUN,
        },
        "base_prune": {
            "type": "boolean",
            "title": "Base prune",
            "description": "Run oc adm prune images first.",
            "section": _BASE_PRUNE,
        },
        "keep_tag_revisions": {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": 1_000_000,
            "title": "Keep tag revisions",
            "description": "Revisions of each tag that are kept. Empty: as the cluster's ImagePruner says.",
            "section": _BASE_PRUNE,
        },
        "keep_younger_than": {
            "type": ["string", "null"],
            "pattern": DURATION_PATTERN,
            "title": "Keep younger than",
            "description": "Images younger than this are kept, such as 60m or 96h. Empty: as the ImagePruner says.",
            "section": _BASE_PRUNE,
        },
        "min_blobs": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1_000_000_000,
            "title": "Threshold: blobs",
            "description": "So many orphaned blobs open the gate.",
            "section": _THRESHOLDS,
        },
        "min_size": {
            "type": "string",
            "pattern": SIZE_PATTERN,
            "title": "Threshold: size",
            "description": "So much orphaned data opens the gate, such as 500MiB or 2GiB. Either of the two is enough.",
            "section": _THRESHOLDS,
        },
        "pass_ceilings": {
            "type": "array",
            "items": {"type": "string", "enum": [str(each) for each in Ceiling]},
            "examples": [str(each) for each in Ceiling],
            "uniqueItems": True,
            "title": "Ceilings to pass",
            "description": "A run that stopped at a ceiling names it. Choose it here only after looking into the "
            "reason that it gave: this run then goes past it, and its report says that you let it.",
            "section": _CEILINGS,
        },
    }
    values = defaults.model_dump(mode="json")
    return {name: {"value": values[name], **schema} for name, schema in schemas.items()}
