"""The form of a manual trigger: what it shows, what it takes and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from dags.registry_prune import build_dag
from include.registry_prune.settings.clusters import ClusterSettings
from include.registry_prune.settings.parameters import RunParameters, SettingsError, parse_parameters
from tests.dags.played_run import play


def filled_in(dag: DAG, name: str, value: Any) -> Any:
    """What the form makes of a value; it raises for one that it refuses."""
    form = ParamsDict({name: dag.params.get_param(name)})
    form[name] = value
    return form.validate()[name]


def test_the_defaults_are_taken_and_mean_what_a_scheduled_run_does(dag: DAG) -> None:
    assert RunParameters(**dag.params.validate()) == RunParameters()


def test_every_parameter_of_a_run_is_in_the_form(dag: DAG) -> None:
    assert set(dag.params) == set(RunParameters.model_fields)


def test_every_field_says_in_words_what_it_is(dag: DAG) -> None:
    for name in dag.params:
        field = dag.params.get_param(name)
        assert field.schema.get("title"), name
        assert field.schema.get("section"), name
        assert field.description, name
        assert field.description.endswith("."), name


def test_a_cluster_s_own_defaults_are_in_its_form() -> None:
    settings = ClusterSettings.from_mapping("berlin", {"parameters": {"min_size": "10GiB", "survey": False}})
    form = build_dag(settings).params.validate()
    assert (form["min_size"], form["survey"], form["min_blobs"]) == ("10GiB", False, 1_000)


TAKEN = [
    ("hard_prune", "force"),
    ("hard_prune", "never"),
    ("dry_run_only", True),
    ("survey", False),
    ("integrity_check", False),
    ("base_prune", False),
    ("keep_tag_revisions", 0),
    ("keep_tag_revisions", None),
    ("keep_younger_than", "60m"),
    ("keep_younger_than", "1h30m"),
    ("keep_younger_than", None),
    ("min_blobs", 1),
    ("min_size", "0B"),
    ("min_size", "500MB"),
    ("min_size", "2.5 GiB"),
    ("pass_ceilings", []),
    ("pass_ceilings", ["orphan_share", "earlier_runs"]),
]
REFUSED: list[tuple[str, Any]] = [
    ("hard_prune", "always"),
    ("hard_prune", None),
    ("dry_run_only", "no"),
    ("survey", 1),
    ("keep_tag_revisions", -1),
    ("keep_tag_revisions", 1.5),
    ("keep_tag_revisions", "3"),
    ("keep_younger_than", "60m; rm -rf /"),
    ("keep_younger_than", "60m\n--all"),
    ("keep_younger_than", "-60m"),
    ("keep_younger_than", "60"),
    ("keep_younger_than", ""),
    ("keep_younger_than", "٦٠m"),
    ("min_blobs", 0),
    ("min_blobs", -1),
    ("min_blobs", 1.5),
    ("min_blobs", None),
    ("min_size", "2 gigs"),
    ("min_size", "-2GiB"),
    ("min_size", "2"),
    ("min_size", "$(reboot)GiB"),
    ("pass_ceilings", ["no_images"]),
    ("pass_ceilings", ["candidate_in_use"]),
    ("pass_ceilings", "orphan_share"),
    ("pass_ceilings", None),
    ("pass_ceilings", [True]),
]
REFUSED_BY_THE_FIRST_TASK_ALONE: list[tuple[str, Any]] = [
    # Airflow takes keys that the form does not have …
    ("min_blob", 1),
    ("Survey", False),
    # … and to Python, unlike to a browser, the end of a pattern is also before a last line end.
    ("keep_younger_than", "60m\n"),
    ("min_size", "2GiB\n"),
]


@pytest.mark.parametrize(("name", "value"), TAKEN)
def test_the_form_and_the_first_task_take(dag: DAG, name: str, value: Any) -> None:
    assert filled_in(dag, name, value) == value
    taken = parse_parameters({name: value}, RunParameters())
    assert taken.model_dump(mode="json")[name] == value


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_the_form_refuses(dag: DAG, name: str, value: Any) -> None:
    with pytest.raises(ParamValidationError):
        filled_in(dag, name, value)


@pytest.mark.parametrize(("name", "value"), REFUSED + REFUSED_BY_THE_FIRST_TASK_ALONE)
def test_what_gets_past_the_form_the_first_task_refuses_by_name(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=name):
        parse_parameters({name: value}, RunParameters())


def test_a_key_that_the_form_does_not_have_fails_the_run_at_its_first_task(dag: DAG) -> None:
    reasons: list[Any] = []
    dag.get_task("verify_access").on_failure_callback = [lambda context: reasons.append(context["exception"])]
    run = play(dag, own={"verify_access"}, conf={"min_blob": 1})
    assert run.ran == ("verify_access", "report")
    assert run.state == "failed"
    (reason,) = reasons
    assert isinstance(reason, AirflowFailException), "it would be tried again, for nothing"
    assert "min_blob: there is no such setting" in str(reason)
    assert "min_blobs" in str(reason)
