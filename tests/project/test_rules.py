"""The rules of deploy/, tried by Prometheus's own tool; each has a runbook."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "rules"
PROMTOOL = shutil.which("promtool")
FILES = ("prometheus-rules", "openshift-rules")


def groups(name: str) -> dict[str, Any]:
    """As Prometheus has them: without Kubernetes around them."""
    return dict(yaml.safe_load((PROJECT / "deploy" / f"{name}.yaml").read_text(encoding="utf-8"))["spec"])


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in groups(name)["groups"] for rule in group["rules"]]


@pytest.mark.skipif(PROMTOOL is None, reason="Debian's package prometheus is not installed; .ci/run installs it")
@pytest.mark.parametrize("name", FILES)
def test_the_rules_fire_when_they_should_and_not_before(name: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups(name)), encoding="utf-8")
    (tmp_path / "case.yaml").write_text((CASES / f"{name}.test.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "case.yaml"]):
        done = subprocess.run([str(PROMTOOL), *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FILES)
def test_each_rule_is_tried_and_has_a_runbook(name: str) -> None:
    tried = {
        case["alertname"]
        for test in yaml.safe_load((CASES / f"{name}.test.yaml").read_text(encoding="utf-8"))["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert tried == {rule["alert"] for rule in rules(name)}
    for rule in rules(name):
        assert (PROJECT / rule["annotations"]["runbook_url"]).exists(), rule["alert"]
