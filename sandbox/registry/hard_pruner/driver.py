"""The registry's storage as the pruner sees it: its ``filesystem`` driver, with the errors it words.

Facts from github.com/distribution/distribution v3, registry/storage/driver (base, filesystem, walk.go).
"""

from __future__ import annotations

import os
import re
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.registry.hard_pruner.logrus import CONTEXT, Logger

NAME = "filesystem"
_PATH = re.compile(r"(/[A-Za-z0-9._-]+)+")
_PACKAGE = "github.com/distribution/distribution/v3/registry/storage/driver/base"
_TRACED_LINES = {"GetContent": 93, "Stat": 153, "Delete": 200, "Walk": 230}


class RegistryError(Exception):
    """A failure in the registry's words."""


class PathNotFoundError(RegistryError):
    """There is nothing at that path."""

    def __init__(self, path: str, driver: str = NAME) -> None:
        super().__init__(f"{driver}: Path not found: {path}")


class FilesystemDriver:
    """Reads, walks and deletes below a folder.

    :param root: the real folder.
    :param shown_root: how error messages name it: what the pod believes it to be.
    :param log: takes the traces of level debug.
    :param read_only: every deletion fails as on a volume that is mounted read-only.
    """

    def __init__(self, root: Path, shown_root: str, log: Logger, *, read_only: bool = False) -> None:
        self._root = str(root)
        self._shown_root = shown_root
        self._log = log
        self._tracing = log.enabled("debug")
        self._read_only = read_only

    def shown(self, path: str) -> str:
        """The path as messages of the operating system name it."""
        return self._shown_root + path

    def content(self, path: str) -> str:
        """The text of a small file.

        :raises PathNotFoundError, RegistryError:
        """
        with self._traced("GetContent", path):
            try:
                return Path(self._root + path).read_text(errors="replace")
            except FileNotFoundError:
                raise PathNotFoundError(path) from None
            except OSError as error:
                raise self._failed("open", path, error) from None

    def size(self, path: str) -> int:
        """Bytes of a file.

        :raises PathNotFoundError, RegistryError:
        """
        with self._traced("Stat", path):
            try:
                found = os.stat(self._root + path)  # noqa: PTH116 - once for each blob
            except FileNotFoundError:
                raise PathNotFoundError(path) from None
            except OSError as error:
                raise self._failed("stat", path, error) from None
        return found.st_size

    def delete(self, path: str, *, refused: OSError | None = None) -> None:
        """Remove a file, or a folder and all that is in it.

        :param refused: an ordered fault: fail so on the first file, as the operating system would.
        :raises PathNotFoundError, RegistryError:
        """
        if self._read_only:
            refused = OSError(30, "Read-only file system")
        with self._traced("Delete", path):
            if not os.path.lexists(self._root + path):
                raise PathNotFoundError(path)
            self._remove_all(path, refused)

    @contextmanager
    def walking(self, path: str) -> Iterator[None]:
        """Around the use of :meth:`walk`: names the driver in errors, its own and those of the work done."""
        started = time.perf_counter_ns()
        try:
            yield
        except PathNotFoundError:
            raise
        except RegistryError as error:
            raise RegistryError(f"{NAME}: {error}") from None
        finally:
            self._trace("Walk", path, started)

    def walk(self, path: str, *, enter_hidden: bool = True) -> Iterator[tuple[str, bool]]:
        """Everything below a folder in the order of names: path, and whether it is a folder.

        What vanishes between being listed and being looked at is left out.

        :param enter_hidden: go into folders whose name starts with an underscore as well.
        :raises PathNotFoundError: there is no such folder.
        :raises RegistryError: a folder vanished while it was listed.
        """
        for name in self._names(path):
            child = f"{path}/{name}"
            try:
                is_folder = stat.S_ISDIR(os.stat(self._root + child).st_mode)  # noqa: PTH116 - once a blob
            except FileNotFoundError:
                self._log.line("info", "ignoring deleted path", {"path": child})
                continue
            yield child, is_folder
            if is_folder and (enter_hidden or not name.startswith("_")):
                yield from self.walk(child, enter_hidden=enter_hidden)

    def vanished(self, path: str) -> RegistryError:
        """What listing a folder answers that is removed at that moment."""
        return RegistryError(f"readdirent {self.shown(path)}: no such file or directory")

    def _names(self, path: str) -> list[str]:
        try:
            names = sorted(os.listdir(self._root + path))  # noqa: PTH208 - once for each blob
        except FileNotFoundError:
            raise PathNotFoundError(path) from None
        except OSError as error:
            raise RegistryError(self._told("open", path, error)) from None
        # The C library hides that the folder went away after it was opened; Go does not.
        if not names and not os.path.lexists(self._root + path):
            raise self.vanished(path)
        return names

    def _remove_all(self, path: str, refused: OSError | None) -> None:
        real = self._root + path
        try:
            if stat.S_ISDIR(os.lstat(real).st_mode):
                for name in os.listdir(real):  # noqa: PTH208 - once for each blob
                    self._remove_all(f"{path}/{name}", refused)
                os.rmdir(real)  # noqa: PTH106 - once for each blob
            else:
                if refused is not None:
                    raise refused
                os.unlink(real)  # noqa: PTH108 - once for each blob
        except FileNotFoundError:
            return  # another process was quicker: that is what was wanted
        except OSError as error:
            raise self._failed("unlinkat", path, error) from None

    @contextmanager
    def _traced(self, operation: str, path: str) -> Iterator[None]:
        if not _PATH.fullmatch(path):
            raise RegistryError(f"{NAME}: invalid path: {path}")
        started = time.perf_counter_ns()
        try:
            yield
        finally:
            self._trace(operation, path, started)

    def _trace(self, operation: str, path: str, started: int) -> None:
        if not self._tracing:
            return
        microseconds = (time.perf_counter_ns() - started) / 1000
        fields = {
            **CONTEXT,
            "trace.duration": f"{microseconds:.3f}µs",
            "trace.file": "3/registry/storage/driver/base/base.go",
            "trace.func": f"{_PACKAGE}.(*Base).{operation}",
            "trace.id": str(uuid.uuid4()),
            "trace.line": _TRACED_LINES[operation],
        }
        self._log.line("debug", f'{NAME}.{operation}("{path}")', fields)

    def _failed(self, operation: str, path: str, error: OSError) -> RegistryError:
        return RegistryError(f"{NAME}: {self._told(operation, path, error)}")

    def _told(self, operation: str, path: str, error: OSError) -> str:
        cause = (error.strerror or str(error)).lower()
        return f"{operation} {self.shown(path)}: {cause}"
