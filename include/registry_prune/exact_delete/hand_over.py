"""How the list gets into the pod: one command in it reads the list from its standard input."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import BinaryIO

from include.registry_prune.lists.candidate_list import DamagedListError, Seal, whole_lines

LIST_FILE = "candidates.txt.gz"
_BLOCK_BYTES = 256 * 1024
_LOOK_SECONDS = 0.1


def receive(source: BinaryIO, folder: Path, seal: Seal) -> Path:
    """Take a list in; it has its name only when it is whole.

    The source need not end: as many bytes are read as the list has. A standard input that a client of an older protocol
    cannot close would be waited for.

    :param seal: what was written.
    :raises DamagedListError: if it is another list, or damaged.
    """
    part, left = folder / f"{LIST_FILE}.part-{os.getpid()}", seal.size_bytes
    try:
        with part.open("wb") as file:
            while left and (block := source.read(min(left, _BLOCK_BYTES))):
                file.write(block)
                left -= len(block)
        with part.open("rb") as file:
            for _ in whole_lines(file, seal, "The list that was handed over"):
                pass
        return part.rename(folder / LIST_FILE)
    finally:
        part.unlink(missing_ok=True)


def wait_for_list(folder: Path, *, limit_seconds: float, stopping: threading.Event) -> Path:
    """The list's file, once it is there.

    :raises DamagedListError: if it does not come.
    """
    path, waited = folder / LIST_FILE, 0.0
    while not path.exists():
        if stopping.wait(_LOOK_SECONDS):
            raise DamagedListError("The pod was told to end before the list was handed over")
        waited += _LOOK_SECONDS
        if waited > limit_seconds:
            raise DamagedListError(f"No list was handed over within {limit_seconds:.0f} s")
    return path
