"""What deploy/values/celery.yaml says, Airflow's provider of Celery knows."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import yaml
from airflow.configuration import conf
from airflow.providers_manager import ProvidersManager

PROJECT = Path(__file__).parents[2]
VALUES = yaml.safe_load((PROJECT / "deploy" / "values" / "celery.yaml").read_text(encoding="utf-8"))["config"]["celery"]

pytestmark = pytest.mark.distributed


def test_the_provider_knows_each_option() -> None:
    ProvidersManager().initialize_providers_configuration()
    assert set(VALUES) <= set(conf.configuration_description["celery"]["options"])


def test_what_is_imported_before_the_first_task_is_there_and_nothing_of_this_project_is_among_it() -> None:
    module, _, attribute = VALUES["celery_config_options"].rpartition(".")
    configuration = getattr(import_module(module), attribute)
    assert "airflow.providers.amazon.aws.fs.s3" in configuration["imports"], "for lists in a bucket"
    for name in configuration["imports"]:
        import_module(name)
    assert configuration["task_acks_late"], "what Airflow's provider sets is kept"
    assert not [name for name in configuration["imports"] if name.startswith(("include", "dags"))]
