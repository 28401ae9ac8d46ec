"""Stand-in for ``/usr/bin/dockerregistry``: ``-prune=check|delete`` and the integrity check.

It does to the sandbox's storage what the real one does: streams, wording, order and exit statuses follow the
transcripts (``tests/transcripts``). It ignores ``REGISTRY_STORAGE_MAINTENANCE_READONLY`` as the real one does, and
takes one order of faults (:mod:`sandbox.registry.faults`) when it starts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sandbox.base.object_storage import Bucket
from sandbox.registry.api import ApiClient, ApiFailureError
from sandbox.registry.faults import CHECK, CHECK_DATABASE, DELETE, PrunerFaults
from sandbox.registry.hard_pruner.bucket_driver import BucketDriver
from sandbox.registry.hard_pruner.check_database import DatabaseCheck
from sandbox.registry.hard_pruner.configuration import Configuration, ConfigurationError
from sandbox.registry.hard_pruner.driver import FilesystemDriver, RegistryError
from sandbox.registry.hard_pruner.hard_prune import HardPrune, Summary
from sandbox.registry.hard_pruner.logrus import CONTEXT, Logger
from sandbox.registry.hard_pruner.made_up import MadeUpOrphans
from sandbox.registry.journal import PrunerJournal
from sandbox.registry.storage.sizes import bytes_size

Driver = FilesystemDriver | BucketDriver
_RESTORE_MODES = ("check", CHECK_DATABASE, "check-storage", "recover")
_VALUE_FLAGS = ("prune", "restore-mode", "restore-namespace")
_NO_VERSION = dict.fromkeys(
    ("major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"),
    "",
)  # fmt: skip


class UsageError(Exception):
    """The command line is not understood: exit status 2."""


@dataclass
class Flags:
    """The command line."""

    prune: str = ""
    restore_mode: str = ""
    restore_namespace: str = ""
    experimental: bool = False


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command.

    :param argv: the words after ``dockerregistry``.
    :param environ: the environment of the process.
    :returns: the exit status.
    """
    try:
        flags = _parsed(argv)
    except UsageError as error:
        sys.stderr.write(f"{error}\nUsage of dockerregistry:\n")
        return 2
    problem = _conflict(flags)
    if problem:
        Logger(whole_seconds=True).line("error", problem)
        return 2
    if flags.restore_mode:
        return _check_database(flags, environ)
    if flags.prune:
        return PrunerJournal(environ, flags.prune).run(lambda: _prune(flags.prune, environ))
    Logger(whole_seconds=True).fatal(
        "the sandbox's dockerregistry serves no requests: give it -prune=check, -prune=delete or -restore-mode"
    )
    return 1


def _parsed(argv: Sequence[str]) -> Flags:
    flags, words = Flags(), list(argv)
    while words and words[0].startswith("-") and words[0] not in ("-", "--"):
        name, separator, value = words.pop(0).lstrip("-").partition("=")
        if name == "experimental":
            if separator and value not in ("true", "false"):
                raise UsageError(f'invalid boolean value "{value}" for -{name}: parse error')
            flags.experimental = value != "false"
        elif name in _VALUE_FLAGS:
            if not separator and not words:
                raise UsageError(f"flag needs an argument: -{name}")
            setattr(flags, name.replace("-", "_"), value if separator else words.pop(0))
        else:
            raise UsageError(f"flag provided but not defined: -{name}")
    return flags


def _conflict(flags: Flags) -> str | None:
    if flags.prune and flags.restore_mode:
        return "options -prune and -restore-mode are mutually exclusive"
    if flags.restore_mode and not flags.experimental:
        return "option -restore-mode is experimental. Please specify the -experimental to use it."
    if flags.restore_mode and flags.restore_mode not in _RESTORE_MODES:
        return "invalid value for the -restore-mode option"
    if flags.prune not in ("", CHECK, DELETE):
        return "invalid value for the -prune option"
    return None


def _prune(mode: str, environ: Mapping[str, str]) -> int:
    faults = PrunerFaults.of_process(environ, mode)
    time.sleep(faults.seconds_before_start)
    if faults.exit_code is not None:
        return _play(faults)
    started = _start(environ, "warning", faults)
    if started is None:
        return 1
    log, driver = started
    dry_run = mode == CHECK
    versions = {"distribution_version": "v3.0.0+unknown", "openshift_version": _NO_VERSION}
    log.line("info", "start prune" + (" (dry-run mode)" if dry_run else ""), {**CONTEXT, **versions})
    exit_code, summary = 0, Summary()
    try:
        made_up = MadeUpOrphans.ordered(faults, environ)
        run = HardPrune(_client(environ), driver, log, faults, made_up, delete=not dry_run)
        summary = run.summary
        run.run()
    except RegistryError as error:
        log.line("error", str(error))
        exit_code = 1
    _print_summary(summary, dry_run)
    return exit_code


def _check_database(flags: Flags, environ: Mapping[str, str]) -> int:
    faults = PrunerFaults.of_process(environ, CHECK_DATABASE)
    if faults.exit_code is not None:
        return _play(faults)
    started = _start(environ, "fatal", faults)
    if started is None:
        return 1
    log, driver = started
    if flags.restore_mode != CHECK_DATABASE:
        log.fatal(f"the sandbox's dockerregistry knows -restore-mode={CHECK_DATABASE} only")
        return 1
    try:
        DatabaseCheck(_client(environ), driver).run(flags.restore_namespace or None)
    except RegistryError as error:
        log.fatal(f"Database failed: {error}")
        return 1
    finally:
        sys.stdout.flush()
    return 0


def _start(environ: Mapping[str, str], default_level: str, faults: PrunerFaults) -> tuple[Logger, Driver] | None:
    """Log and storage as the environment configures them; None, and a line that says why, if it cannot be."""
    step = "parsing configuration file"
    try:
        configuration = Configuration.read(environ)
        step = "configuring logging"
        log = configuration.logger(default_level)
    except ConfigurationError as error:
        Logger(whole_seconds=True).fatal(f"error {step}: {error}")
        return None
    bucket = Bucket.of_environment(environ)
    if bucket is not None:
        return log, BucketDriver(bucket)
    return log, FilesystemDriver(
        configuration.storage, configuration.shown_storage, log, read_only=faults.read_only_file_system
    )


def _client(environ: Mapping[str, str]) -> ApiClient:
    try:
        return ApiClient.from_environment(environ)
    except ApiFailureError as error:
        raise RegistryError(f"error getting clients: {error}") from error


def _play(faults: PrunerFaults) -> int:
    sys.stdout.write(faults.stdout)
    sys.stdout.flush()
    sys.stderr.write(faults.stderr)
    return faults.exit_code or 0


def _print_summary(summary: Summary, dry_run: bool) -> None:
    size = bytes_size(summary.size)
    if dry_run:
        lines = [f"Would delete {summary.blobs} blobs", f"Would free up {size} of disk space"]
        lines.append("Use -prune=delete to actually delete the data")
    else:
        lines = [f"Deleted {summary.blobs} blobs", f"Freed up {size} of disk space"]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
