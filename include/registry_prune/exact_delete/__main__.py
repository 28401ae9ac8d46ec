"""The program of the exact delete's pod: ``python -m include.registry_prune.exact_delete delete|undo|remove|look``.

Says what it does on stdout, a JSON object a line (``events.py``). Exit status 0: all is done; 1: not all, the last line
says what; 2: nothing was touched.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from include.registry_prune.exact_delete import commands
from include.registry_prune.exact_delete.configuration import ConfigurationError
from include.registry_prune.exact_delete.events import (
    EXIT_DONE,
    EXIT_NOT_ALL,
    EXIT_UNTOUCHED,
    SEAL_VARIABLE,
    WORK_FOLDER,
    Ended,
    Event,
    to_line,
)
from include.registry_prune.exact_delete.hand_over import receive
from include.registry_prune.exact_delete.storage import StorageError
from include.registry_prune.lists.candidate_list import DamagedListError, Seal

_COMMANDS = {
    "delete": commands.delete,
    "undo": commands.undo,
    "remove": commands.remove,
    "look": commands.look,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one thing; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    stopping = threading.Event()
    # Ends between two batches, with a summary that says how far it came.
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    try:
        seal = _seal()
        if options.command == "receive":
            return _receive(options.work_folder, seal)
        order = commands.Order(
            environ=os.environ,
            kept_as=options.kept_as,
            seal=seal,
            folder=options.work_folder,
            list_seconds=options.list_wait,
            say=_say,
            stopping=stopping,
        )
        ended = _COMMANDS[options.command](order)
    except (ConfigurationError, StorageError, DamagedListError) as error:
        _say(Ended(work=options.command, ended_by="error", problem=str(error)))
        return EXIT_UNTOUCHED
    return EXIT_DONE if ended.complete else EXIT_NOT_ALL


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="exact_delete", description=__doc__)
    parser.add_argument("command", choices=(*_COMMANDS, "receive"))
    parser.add_argument("--kept-as", default="", help="folder of what is kept; none: what is deleted is gone")
    parser.add_argument("--work-folder", type=Path, default=Path(WORK_FOLDER), help="takes the list (%(default)s)")
    parser.add_argument("--list-wait", type=float, default=300.0, help="seconds to wait for the list (%(default)s)")
    return parser


def _seal() -> Seal | None:
    text = os.environ.get(SEAL_VARIABLE)
    try:
        return Seal.model_validate_json(text) if text else None
    except ValidationError as error:
        raise DamagedListError(f"{SEAL_VARIABLE} is no seal of a list. Nothing was touched.") from error


def _receive(folder: Path, seal: Seal | None) -> int:
    if seal is None:
        raise ConfigurationError(f"{SEAL_VARIABLE} is not set, so it is not known which list is meant")
    sys.stdout.write(f"{receive(sys.stdin.buffer, folder, seal)}\n")
    return EXIT_DONE


def _say(event: Event) -> None:
    sys.stdout.write(f"{to_line(event)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
