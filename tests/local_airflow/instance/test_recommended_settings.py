"""What is recommended is what is used: deploy/values.yaml, the local Airflow, and the Airflow that is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from airflow.configuration import conf

from include.celery_workers import PRELOADED as PRELOADED_BY_CELERY
from local_airflow.instance.environment import RECOMMENDED, AirflowSettings, Secrets, airflow_environment

VALUES = Path(__file__).parents[3] / "deploy" / "values.yaml"
PRELOADED = RECOMMENDED["CORE__MP_FORKSERVER_PRELOAD"].split(",")


def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    return found


def environment(*, recommended: bool) -> dict[str, str]:
    home = Path("/state/airflow")
    settings = AirflowSettings(home=home, project=home, dags_folder=home, port=4711, recommended=recommended)
    return airflow_environment(settings, Secrets.generate(), {})


def test_the_chart_s_values_are_those_of_the_local_airflow() -> None:
    config = values()["config"]
    flat = {
        f"{section}__{name}".upper(): str(value)
        for section, options in config.items()
        for name, value in options.items()
    }
    assert flat == RECOMMENDED
    used = environment(recommended=True)
    assert {name: used[f"AIRFLOW__{name}"] for name in RECOMMENDED} == RECOMMENDED
    assert values()["executor"] == used["AIRFLOW__CORE__EXECUTOR"]


def test_without_them_airflow_has_its_defaults() -> None:
    assert not {f"AIRFLOW__{name}" for name in RECOMMENDED} & set(environment(recommended=False))


def test_airflow_knows_every_one_of_them() -> None:
    """A name that Airflow does not know is ignored without a word."""
    for name in RECOMMENDED:
        section, _, option = name.lower().partition("__")
        # Described in [core] alone: "can be overridden per component".
        described = "core" if option == "mp_start_method" else section
        assert option in conf.configuration_description[described]["options"], name


def test_every_module_that_is_preloaded_is_there_and_none_is_of_this_project() -> None:
    """One that cannot be imported is ignored without a word; one of the project would hide newer code from tasks."""
    for module in PRELOADED:
        assert find_spec(module) is not None, module
        assert module.partition(".")[0] not in ("include", "dags", "plugins"), module


def test_workers_of_celery_import_the_same_before_they_fork() -> None:
    assert ["airflow.executors.local_executor", *PRELOADED_BY_CELERY] == PRELOADED
