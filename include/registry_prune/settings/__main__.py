"""Checks a ``clusters.yaml`` before it is put in place (pure).

``python -m include.registry_prune.settings clusters.yaml``
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from include.registry_prune.settings.clusters_file import ClustersFile
from include.registry_prune.settings.parameters import SettingsError


def main(arguments: list[str] | None = None) -> int:
    """Print every fault of a clusters.yaml with its line.

    :return: exit status: 0 if there is none, 1 if there is one.
    """
    parser = argparse.ArgumentParser(
        prog="python -m include.registry_prune.settings",
        description="Names every fault of a clusters.yaml with its line; status 1 if there is one.",
    )
    parser.add_argument("file", type=Path, nargs="?", help="default: the file that Airflow would read here")
    try:
        file = ClustersFile.read(parser.parse_args(arguments).file)
    except SettingsError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    faults = file.faults()
    lines = [f"{file.path}:{fault.line}: {fault.what()}" for fault in faults]
    lines += [] if faults else [f"{file.path or 'no file'}: nothing is wrong. Clusters: {', '.join(file.names)}"]
    sys.stdout.write("\n".join([*lines, ""]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
