"""The bases of deploy/base, and the overlay that changes namespace and image: built by kubectl itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
KUBECTL = Path(sys.executable).parent / "kubectl"
BASES = {
    "account": "rbac.yaml",
    "guard": "guard.yaml",
    "exact-delete": "exact-delete-rbac.yaml",
    "alert-rules": "openshift-rules.yaml",
}
ELSEWHERE, IMAGE = "registry-prune-production", "registry.example.com/platform/registry-prune:2"

Objects = dict[tuple[str, str, str], Any]


def objects(text: str) -> Objects:
    return {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each
        for each in yaml.safe_load_all(text)
    }


def built(folder: Path) -> Objects:
    done = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def deployed(*files: str) -> Objects:
    return {key: each for file in files for key, each in objects((DEPLOY / file).read_text("utf-8")).items()}


def in_overlay(each: Any) -> Any:
    """The same object as the overlay has it; registry-prune is a namespace, and the name of other things."""
    text = json.dumps(each)
    for before in ('"namespace": "registry-prune"', 'namespace=\\"registry-prune\\"'):
        text = text.replace(before, before.replace("registry-prune", ELSEWHERE))
    moved = json.loads(text.replace("registry.example.com/registry-prune:1", IMAGE))
    if moved["kind"] == "Namespace":
        moved["metadata"]["name"] = ELSEWHERE
    return moved


@pytest.mark.parametrize(("base", "file"), BASES.items())
def test_a_base_is_the_file_that_is_applied_without_it(base: str, file: str) -> None:
    """One place for each fact: what the documents apply is a link to what the base has."""
    assert (DEPLOY / file).resolve().parent == DEPLOY / "base" / base
    assert built(DEPLOY / "base" / base) == deployed(file)


@pytest.mark.parametrize(
    "left_out", [(), ("exact-delete",), ("exact-delete", "alert-rules")], ids=["all", "as it is", "no rules"]
)
def test_one_overlay_changes_namespace_and_image_everywhere_and_nothing_else(
    tmp_path: Path, left_out: tuple[str, ...]
) -> None:
    shutil.copytree(DEPLOY / "base", tmp_path / "base")
    overlay = shutil.copytree(DEPLOY / "overlay", tmp_path / "overlay") / "kustomization.yaml"
    lines = overlay.read_text("utf-8").replace("# - ../base/exact-delete", "- ../base/exact-delete").splitlines()
    kept = [line for line in lines if not any(line.strip() == f"- ../base/{base}" for base in left_out)]
    overlay.write_text("\n".join(kept), encoding="utf-8")
    expected = deployed(*(file for base, file in BASES.items() if base not in left_out))
    wanted = [in_overlay(each) for each in expected.values()]
    assert built(tmp_path / "overlay") == objects(yaml.safe_dump_all(wanted))


def test_an_overlay_pins_the_image_by_its_digest(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "base", tmp_path / "base")
    overlay = shutil.copytree(DEPLOY / "overlay", tmp_path / "overlay") / "kustomization.yaml"
    digest = "sha256:" + "a1" * 32
    lines = overlay.read_text("utf-8").replace("# digest: sha256:…", f"digest: {digest}").splitlines()
    overlay.write_text("\n".join(line for line in lines if "newTag" not in line), encoding="utf-8")
    images = {container["image"] for container in containers(built(tmp_path / "overlay"))}
    assert images == {f"registry.example.com/platform/registry-prune@{digest}"}


def containers(found: Objects) -> list[Any]:
    """Of everything that has a pod template."""
    jobs = [each for (kind, _, _), each in found.items() if kind == "CronJob"]
    templates = [each["spec"]["jobTemplate"]["spec"]["template"] for each in jobs]
    return [container for template in templates for container in template["spec"]["containers"]]


def test_what_runs_in_the_cluster_is_not_root_and_writes_nowhere() -> None:
    """What an exact delete's pod is like: ``tests/registry_prune/exact_pod/test_manifest.py``."""
    found = deployed(*BASES.values())
    assert {kind for kind, _, _ in found} & {"Pod", "Deployment", "DaemonSet", "StatefulSet", "Job"} == set()
    (container,) = containers(found)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "volumeMounts" not in container
