"""The parameters of a run: the form shows what is allowed, and the first task refuses everything else."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.registry_prune.base_prune.job import arguments
from include.registry_prune.settings.parameters import RunParameters, SettingsError, parse_parameters, trigger_form
from include.registry_prune.units import DURATION_PATTERN, SIZE_PATTERN
from include.registry_prune.verdict.decision import Mode, Thresholds

DEFAULTS = RunParameters()
FORM = trigger_form(DEFAULTS)


def test_what_is_not_asked_for_is_as_the_cluster_has_it() -> None:
    defaults = RunParameters(min_blobs=7, hard_prune=Mode.NEVER, keep_younger_than="96h")
    assert parse_parameters({}, defaults) == defaults
    assert parse_parameters({"hard_prune": "force"}, defaults) == defaults.model_copy(update={"hard_prune": "force"})


@pytest.mark.parametrize(
    ("conf", "parts"),
    [
        ({"min_blob": 5}, ["min_blob: there is no such setting", "The parameters are: hard_prune, dry_run_only"]),
        ({"": 5}, [": there is no such setting"]),
        (
            {"min_size": "2 gigs"},
            ["min_size: '2 gigs' is not a size: write a number and a unit, such as 500MiB or 2GiB"],
        ),
        ({"min_size": 5}, ["min_size: Input should be a valid string (it is '5')"]),
        ({"min_size": "-2GiB"}, ["min_size: '-2GiB' is not a size"]),
        ({"min_size": "2GiB\n"}, ["min_size: "]),
        ({"min_blobs": -1}, ["min_blobs: Input should be greater than or equal to 1 (it is '-1')"]),
        ({"min_blobs": 0}, ["min_blobs: Input should be greater than or equal to 1"]),
        ({"min_blobs": True}, ["min_blobs: Input should be a valid integer (it is 'True')"]),
        ({"min_blobs": "5"}, ["min_blobs: Input should be a valid integer"]),
        ({"min_blobs": 1.5}, ["min_blobs: Input should be a valid integer"]),
        ({"min_blobs": float("nan")}, ["min_blobs: Input should be a valid integer"]),
        ({"min_blobs": None}, ["min_blobs: Input should be a valid integer"]),
        ({"keep_tag_revisions": -1}, ["keep_tag_revisions: Input should be greater than or equal to 0"]),
        ({"keep_tag_revisions": True}, ["keep_tag_revisions: Input should be a valid integer"]),
        ({"keep_younger_than": "60m; rm -rf /"}, ["keep_younger_than: '60m; rm -rf /' is not a duration"]),
        ({"keep_younger_than": "60m --confirm=true"}, ["keep_younger_than: "]),
        ({"keep_younger_than": ""}, ["keep_younger_than: '' is not a duration"]),
        ({"keep_younger_than": 60}, ["keep_younger_than: Input should be a valid string"]),
        ({"keep_younger_than": "999999999h" * 30}, ["keep_younger_than: ", "is not a duration"]),
        ({"dry_run_only": "yes"}, ["dry_run_only: Input should be a valid boolean"]),
        ({"base_prune": 1}, ["base_prune: Input should be a valid boolean"]),
        ({"hard_prune": "always"}, ["hard_prune: Input should be 'auto', 'force' or 'never' (it is 'always')"]),
        ({"hard_prune": True}, ["hard_prune: Input should be 'auto', 'force' or 'never'"]),
        ({"x": 1, "min_blobs": 0, "min_size": "big"}, ["x: there is no", "min_blobs: ", "min_size: 'big' is not"]),
    ],
    ids=repr,
)
def test_a_wrong_parameter_is_refused_and_named(conf: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        parse_parameters(conf, DEFAULTS)
    message = str(error.value)
    assert message.startswith("Parameters of this run: ")
    for part in parts:
        assert part in message


def test_a_whole_number_of_json_may_have_a_decimal_point() -> None:
    assert parse_parameters({"min_blobs": 5000.0, "keep_tag_revisions": 3.0}, DEFAULTS) == RunParameters(
        min_blobs=5000, keep_tag_revisions=3
    )


def valid(name: str, value: Any) -> bool:
    schema = {key: value for key, value in FORM[name].items() if key != "value"}
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def accepted(name: str, value: Any) -> bool:
    try:
        parse_parameters({name: value}, DEFAULTS)
    except SettingsError:
        return False
    return True


junk = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2_000_000_000)
    | st.integers(-5, 5).map(float)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["auto", "force", "never", "2GiB", "60m", "2GiB\n", "60m\n", " 60m", "٢GiB"])
    | st.from_regex(SIZE_PATTERN)
    | st.from_regex(DURATION_PATTERN)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)


BOUNDARIES = (-1, 0, 1, 0.0, 1.0, 1_000_000, 1_000_001, 1_000_000_000, 1_000_000_001, 1.5, None, True, "", "1B", "1m")


@pytest.mark.parametrize("value", BOUNDARIES, ids=repr)
@pytest.mark.parametrize("name", FORM)
def test_the_form_and_the_first_task_have_the_same_bounds(name: str, value: Any) -> None:
    assert accepted(name, value) is valid(name, value)


@settings(max_examples=300)
@given(name=st.sampled_from(sorted(FORM)), value=junk)
def test_the_form_and_the_first_task_accept_the_same(name: str, value: Any) -> None:
    # In a JSON schema `$` is the end of the text; Python's own lets a line end through.
    ends_a_line = isinstance(value, str) and value.endswith("\n")
    assert accepted(name, value) is (valid(name, value) and not ends_a_line)


parameters = st.builds(
    RunParameters,
    hard_prune=st.sampled_from(["auto", "force", "never"]),
    dry_run_only=st.booleans(),
    base_prune=st.booleans(),
    survey=st.booleans(),
    integrity_check=st.booleans(),
    keep_tag_revisions=st.none() | st.integers(0, 1_000_000),
    keep_younger_than=st.none() | st.from_regex(DURATION_PATTERN, fullmatch=True).filter(lambda text: text[-1] != "\n"),
    min_blobs=st.integers(1, 1_000_000_000),
    min_size=st.from_regex(SIZE_PATTERN, fullmatch=True).filter(lambda text: text[-1] != "\n"),
)


@given(defaults=parameters)
def test_every_default_is_valid_in_its_own_form_and_comes_back_unchanged(defaults: RunParameters) -> None:
    form = trigger_form(defaults)
    for name, field in form.items():
        assert valid(name, field["value"]), name
    assert parse_parameters({name: field["value"] for name, field in form.items()}, DEFAULTS) == defaults


def test_the_form_has_every_parameter_with_its_words_and_section() -> None:
    assert set(FORM) == set(RunParameters.model_fields)
    for name, field in FORM.items():
        assert field["title"], name
        assert field["description"].endswith("."), name
        assert field["section"], name
        jsonschema.Draft202012Validator.check_schema({key: value for key, value in field.items() if key != "value"})


def test_the_form_offers_the_modes_that_the_decision_knows() -> None:
    modes = [mode.value for mode in Mode]
    assert FORM["hard_prune"]["enum"] == modes
    assert RunParameters.model_fields["hard_prune"].annotation is Mode


@pytest.mark.parametrize(
    ("hard_prune", "dry_run_only", "survey", "may_open_window", "surveys"),
    [
        ("auto", False, True, True, True),
        ("auto", False, False, True, False),
        ("force", False, True, True, True),
        ("never", False, True, False, True),
        ("never", False, False, False, False),
        ("auto", True, True, False, True),
        ("auto", True, False, False, True),
        ("force", True, False, False, True),
        ("never", True, False, False, True),
    ],
)
def test_what_a_run_may_do(
    hard_prune: Any, dry_run_only: bool, survey: bool, may_open_window: bool, surveys: bool
) -> None:
    asked = RunParameters(hard_prune=hard_prune, dry_run_only=dry_run_only, survey=survey)
    assert asked.may_open_window is may_open_window
    assert asked.surveys is surveys
    assert asked.hard_prune is Mode(hard_prune)


def test_the_thresholds_in_bytes() -> None:
    assert RunParameters(min_blobs=5, min_size="1.5KiB").thresholds == Thresholds(min_blobs=5, min_bytes=1536)


@given(asked=parameters)
def test_what_reaches_the_base_prune_is_one_plain_word_for_each_flag(asked: RunParameters) -> None:
    appended = arguments(
        keep_tag_revisions=asked.keep_tag_revisions,
        keep_younger_than=asked.keep_younger_than,
        dry_run=asked.dry_run_only,
    )
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789.=-")
    assert all(set(argument) <= allowed for argument in appended)
