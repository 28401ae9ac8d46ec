"""What alerts say: each kind has its next step and its runbook."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.registry_prune.alerts.message import FACTS, GUARD_FAILED, UNEXPLAINED, Facts
from include.registry_prune.settings.alerting import QUIET, AlertChannel, AlertKind
from include.registry_prune.settings.clusters import ClusterSettings

RUNBOOKS = Path(__file__).parents[3] / "docs" / "runbooks"


@pytest.mark.parametrize("facts", [*FACTS.values(), GUARD_FAILED, UNEXPLAINED])
def test_each_kind_has_a_next_step_and_a_runbook(facts: Facts) -> None:
    assert facts.next_step
    assert (RUNBOOKS / f"{facts.runbook}.md").exists()


def test_every_kind_says_what_comes_next() -> None:
    assert set(FACTS) == set(AlertKind)


@pytest.mark.parametrize("kind", AlertKind)
def test_an_incident_has_one_severity_whatever_kind_tells_of_it(kind: AlertKind) -> None:
    """Guards the labels: Alertmanager knows an incident by them, and the severity is one."""
    facts = FACTS[kind]
    same = {each.severity for each in FACTS.values() if each.incident == facts.incident and facts.incident}
    assert len(same) <= 1


def test_a_channel_gets_all_kinds_but_the_quiet_ones_unless_it_names_some() -> None:
    every = AlertChannel(channel="http", connection="x")  # type: ignore[arg-type]
    assert {kind for kind in AlertKind if not every.takes(kind)} == QUIET == {"skipped"}
    some = AlertChannel(channel="http", connection="x", kinds=["skipped", "image lost"])  # type: ignore[arg-type]
    assert {kind for kind in AlertKind if some.takes(kind)} == {"skipped", "image lost", "test"}


def test_the_one_connection_of_before_gets_what_it_got_before_and_new_failures() -> None:
    (event, post) = sorted(ClusterSettings(alert_connection="pager").channels, key=lambda each: each.channel)
    assert {kind for kind in AlertKind if not post.takes(kind)} == {"skipped", "read-only", "read-write"}
    assert {kind for kind in AlertKind if event.takes(kind)} == {
        "read-only", "read-write", "restore failed", "window ending", "guard", "test",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"channel": "mail", "connection": "x"}, "needs addresses"),
        ({"channel": "http"}, "needs the name of an Airflow connection"),
        ({"channel": "pigeon", "connection": "x"}, "Input should be 'apprise'"),
        ({"channel": "http", "connection": "x", "kinds": ["everything"]}, "Input should be 'read-only'"),
    ],
)
def test_a_wrong_channel_is_refused_with_what_it_should_be(values: dict[str, object], problem: str) -> None:
    from include.registry_prune.settings.parameters import SettingsError

    with pytest.raises(SettingsError, match=problem):
        ClusterSettings.from_mapping("berlin", {"alert_channels": [values]})
