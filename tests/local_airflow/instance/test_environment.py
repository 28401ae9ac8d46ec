from __future__ import annotations

import json
import stat
from pathlib import Path

from cryptography.fernet import Fernet

from local_airflow.instance.environment import (
    AirflowSettings,
    KubernetesConnection,
    Secrets,
    airflow_environment,
    write_private,
)


def environment(inherited: dict[str, str] | None = None, **changes: object) -> dict[str, str]:
    settings = AirflowSettings(
        home=Path("/state/airflow"),
        project=Path("/project"),
        dags_folder=Path("/project/dags"),
        port=4711,
        **changes,  # type: ignore[arg-type]
    )
    return airflow_environment(settings, Secrets.generate(), inherited or {})


def test_another_airflow_s_configuration_is_not_inherited() -> None:
    result = environment(
        {
            "AIRFLOW_HOME": "/home/somebody/airflow",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://production",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW_CONFIG": "/etc/airflow.cfg",
            "PATH": "/usr/bin",
        }
    )
    assert result["AIRFLOW_HOME"] == "/state/airflow"
    assert result["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "production" not in result["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert "AIRFLOW_CONFIG" not in result
    assert result["PATH"] == "/usr/bin"


def test_connections_variables_and_mail_are_inherited_but_not_the_cluster() -> None:
    inherited = {
        "AIRFLOW_CONN_ALERTS": "https://example.com",
        "AIRFLOW_VAR_TEAM": "registry",
        "AIRFLOW__SMTP__SMTP_HOST": "mail.example.com",
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": "kubernetes://production",
        "KUBECONFIG": "/home/somebody/.kube/config",
    }
    result = environment(inherited)
    assert {name: result.get(name) for name in inherited} == {
        "AIRFLOW_CONN_ALERTS": "https://example.com",
        "AIRFLOW_VAR_TEAM": "registry",
        "AIRFLOW__SMTP__SMTP_HOST": "mail.example.com",
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": None,
        "KUBECONFIG": None,
    }


def test_tasks_find_the_project_compiled() -> None:
    assert "PYTHONDONTWRITEBYTECODE" not in environment({"PYTHONDONTWRITEBYTECODE": "1"})


def test_the_cluster_is_a_connection_of_type_kubernetes() -> None:
    result = environment(connection=KubernetesConnection("/state/kubeconfig", "admin"))
    assert json.loads(result["AIRFLOW_CONN_KUBERNETES_DEFAULT"]) == {
        "conn_type": "kubernetes",
        "extra": {"kube_config_path": "/state/kubeconfig", "cluster_context": "admin"},
    }


def test_the_api_is_on_the_loopback_interface_and_open_only_if_no_login_is_asked_for() -> None:
    open_to_all = environment()
    assert open_to_all["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert open_to_all["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:4711/execution/"
    assert open_to_all["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "True"
    assert environment(login=True)["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"


def test_no_run_is_started_by_the_schedule() -> None:
    assert environment()["AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"] == "False"


def test_no_proxy_is_used_for_the_loopback_interface() -> None:
    result = environment({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "example.com,localhost"})
    assert result["NO_PROXY"] == "example.com,localhost,127.0.0.1"
    assert result["no_proxy"] == "127.0.0.1,localhost"


def test_secrets_differ_and_the_fernet_key_is_one(tmp_path: Path) -> None:
    first, second = Secrets.generate(), Secrets.generate()
    assert first.jwt_secret != second.jwt_secret
    cipher = Fernet(first.fernet_key)
    assert cipher.decrypt(cipher.encrypt(b"text")) == b"text"
    first.write(tmp_path / "secrets.json")
    assert json.loads((tmp_path / "secrets.json").read_text())["jwt_secret"] == first.jwt_secret


def test_a_database_that_was_kept_can_be_decrypted_and_all_else_is_new(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    earlier = Secrets.generate(file)
    earlier.write(file)
    now = Secrets.generate(file)
    assert now.fernet_key == earlier.fernet_key
    assert {now.jwt_secret, now.session_key, now.admin_password}.isdisjoint(
        {earlier.jwt_secret, earlier.session_key, earlier.admin_password}
    )
    file.write_text("{")
    assert Secrets.generate(file).fernet_key != earlier.fernet_key


def test_private_file_is_readable_by_its_owner_alone_even_if_it_was_not_before(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
