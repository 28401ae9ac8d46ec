"""Where the folders of the pods are: in memory, as a real pod's ``/dev/shm`` and ``/proc`` are.

On the disk they would share its journal with the registry's storage: while a pruner deletes, the log that it writes to
``/dev/shm`` would wait for its own deletions.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from sandbox.base.paths import StateDirectory

MEMORY = Path("/dev/shm")
_PREFIX = "registry-prune-sandbox-"


def make_pod_folders(state: StateDirectory, memory: Path = MEMORY) -> None:
    """Make an empty place for the folders of a sandbox's pods; what an earlier sandbox has left there is gone.

    :param memory: a file system in memory; where it cannot be written to, the place is on the disk.
    """
    remove_pod_folders(state)
    try:
        place = tempfile.mkdtemp(prefix=_PREFIX, dir=memory)
    except OSError:
        state.pods.mkdir()
    else:
        state.pods.symlink_to(place)


def remove_pod_folders(state: StateDirectory) -> None:
    """Remove the folders of all pods; nothing happens if there are none."""
    if state.pods.is_symlink():
        shutil.rmtree(state.pods.readlink(), ignore_errors=True)
        state.pods.unlink()
    else:
        shutil.rmtree(state.pods, ignore_errors=True)
