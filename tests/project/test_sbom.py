"""What `make sbom` has made lists what the lock lists, and so what the images install; `make sbom` runs this."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
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


@pytest.mark.sbom
def test_the_bill_of_materials_has_each_line_of_the_lock_with_its_hashes() -> None:
    bill = json.loads((PROJECT / "sbom.json").read_text(encoding="utf-8"))
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
