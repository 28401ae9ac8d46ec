"""`make sbom` lists what the lock lists, and so what the images install."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
RECIPE = re.compile(r"^sbom: .*\n\t@\$\(BIN\)/(cyclonedx-py .* -o )sbom\.json$", re.MULTILINE)
PINNED = re.compile(r"^([\w.-]+)==(\S+)")


def locked() -> dict[tuple[str, str], set[str]]:
    """Name and version of each line of the lock, with its hashes."""
    found: dict[tuple[str, str], set[str]] = {}
    for line in (PROJECT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if pinned := PINNED.match(line):
            found[canonicalize_name(pinned[1]), pinned[2]] = hashes = set()
        hashes.update(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return found


def hashes_of(component: dict[str, Any]) -> set[str]:
    places = component.get("externalReferences", [])
    return {each["content"] for place in places for each in place.get("hashes", []) if each["alg"] == "SHA-256"}


def test_the_bill_of_materials_has_each_line_of_the_lock_with_its_hashes(tmp_path: Path) -> None:
    recipe = RECIPE.search((PROJECT / "Makefile").read_text(encoding="utf-8"))
    assert recipe is not None, "make sbom is another command now"
    program, *arguments = recipe[1].split()
    made = tmp_path / "sbom.json"
    # Holding it against its schema takes ten times as long as making it.
    command = [Path(sys.executable).parent / program, *arguments, made, "--no-validate"]
    subprocess.run(command, cwd=PROJECT, check=True)
    bill = json.loads(made.read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    components: dict[tuple[str, str], dict[str, Any]] = {
        (canonicalize_name(each["name"]), each["version"]): each for each in bill["components"]
    }
    wanted = locked()
    assert len(wanted) > 100
    assert components.keys() == wanted.keys()
    for name, hashes in wanted.items():
        assert hashes_of(components[name]) == hashes, name
        assert components[name]["purl"].startswith(f"pkg:pypi/{name[0]}@"), name
