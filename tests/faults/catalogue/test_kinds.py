"""Every fault can be named."""

from __future__ import annotations

import pytest

from faults.catalogue.kinds import KINDS, catalogue


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_has_a_name_of_its_own(kind: str) -> None:
    names = [fault.name for fault in catalogue(kind)]
    assert len(set(names)) == len(names)
