"""Stand-in for ``oc adm prune images``, the base prune: flags, order and output of the real one.

It asks the API as the real one does. What the real one asks the registry over HTTP is done to the sandbox's
storage (:mod:`sandbox.registry.base_pruner.registry_service`). It takes one order of faults when it starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.base.paths import StateDirectory
from sandbox.registry.api import IMAGE_STREAMS, IMAGES, ApiClient, ApiFailureError
from sandbox.registry.base_pruner.base_prune import BasePrune, InterruptedPruneError, Retention
from sandbox.registry.base_pruner.go_flags import format_duration, parse_bool, parse_duration, parse_flags, parse_int
from sandbox.registry.base_pruner.image_usage import ImageUsage
from sandbox.registry.base_pruner.prune_deletions import Deletions
from sandbox.registry.base_pruner.registry_service import RegistryService, RegistryServiceError
from sandbox.registry.faults import BASE_PRUNE, PrunerFaults
from sandbox.registry.objects import REGISTRY_HOST, api_time
from sandbox.registry.storage.bucket import storage_of

_COMMAND = ("adm", "prune", "images")
_IMAGES_A_PAGE = 5000
_HELP = "See 'oc adm prune images --help' for usage."
_KINDS: dict[str, Callable[[str], Any]] = {
    "confirm": parse_bool,
    "all": parse_bool,
    "keep-younger-than": parse_duration,
    "keep-tag-revisions": parse_int,
    "prune-over-size-limit": parse_bool,
    "certificate-authority": str,
    "registry-url": str,
    "force-insecure": parse_bool,
    "prune-registry": parse_bool,
    "ignore-invalid-refs": parse_bool,
    "num-workers": parse_int,
    "loglevel": parse_int,
    "v": parse_int,
    "namespace": str,
    "kubeconfig": str,
    "context": str,
    "cluster": str,
    "user": str,
    "server": str,
    "token": str,
    "as": str,
    "request-timeout": str,
    "insecure-skip-tls-verify": parse_bool,
}
_SHORTHANDS = {"n": "namespace", "s": "server", "v": "v"}


class CommandError(Exception):
    """The command cannot do what it was asked to: printed after ``error: ``, exit status 1."""


@dataclass(frozen=True)
class Options:
    """The command line, with the real command's defaults."""

    confirm: bool = False
    all_images: bool = True
    keep_younger_than: float = 3600.0
    keep_tag_revisions: int = 3
    prune_registry: bool = True
    registry_url: str = f"https://{REGISTRY_HOST}"
    namespace: str | None = None
    verbosity: int = 0

    @classmethod
    def parse(cls, words: Sequence[str]) -> Options:
        """Read the words after ``oc``.

        :raises CommandError: they are not understood.
        """
        if tuple(words[: len(_COMMAND)]) != _COMMAND:
            raise CommandError(f"the sandbox's oc knows only `oc {' '.join(_COMMAND)}`")
        try:
            flags, arguments = parse_flags(words[len(_COMMAND) :], _KINDS, _SHORTHANDS)
        except ValueError as error:
            raise CommandError(f"{error}\n{_HELP}") from error
        if arguments:
            raise CommandError(f"no arguments are allowed to this command\n{_HELP}")
        if flags.get("prune-over-size-limit"):
            raise CommandError("the sandbox's oc does not know --prune-over-size-limit")
        for name in ("keep-younger-than", "keep-tag-revisions"):
            if flags.get(name, 0) < 0:
                raise CommandError(f"--{name} must be greater than or equal to 0")
        return cls(
            confirm=flags.get("confirm", cls.confirm),
            all_images=flags.get("all", cls.all_images),
            keep_younger_than=flags.get("keep-younger-than", cls.keep_younger_than),
            keep_tag_revisions=flags.get("keep-tag-revisions", cls.keep_tag_revisions),
            prune_registry=flags.get("prune-registry", cls.prune_registry),
            registry_url=flags.get("registry-url", cls.registry_url),
            namespace=flags.get("namespace"),
            verbosity=max(flags.get("loglevel", 0), flags.get("v", 0)),
        )


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command.

    :param argv: the words after ``oc``.
    :param environ: the environment of the process.
    :returns: the exit status.
    """
    try:
        options = Options.parse(argv)
        faults = PrunerFaults.of_process(environ, BASE_PRUNE)
        if faults.exit_code is not None:
            print(faults.stdout, end="", flush=True)
            print(faults.stderr, end="", file=sys.stderr)
            return faults.exit_code
        errors = _prune(options, ApiClient.from_environment(environ), environ, faults)
    except ApiFailureError as error:
        errors = [_told(error)]
    except CommandError as error:
        errors = [f"error: {error}"]
    except InterruptedPruneError:
        errors = ["error: the command was interrupted"]
    for line in errors:
        print(line, file=sys.stderr)
    return 1 if errors else 0


def _prune(options: Options, api: ApiClient, environ: Mapping[str, str], faults: PrunerFaults) -> list[str]:
    """Do it; the lines that say what went wrong."""
    # Lines reach the pod's log when they are written, not when the command ends.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    since = datetime.now(UTC) - timedelta(seconds=options.keep_younger_than)
    usage = ImageUsage.read(api, options.namespace, api_time(since))
    streams = api.list(IMAGE_STREAMS, options.namespace)
    images = list(api.pages(IMAGES, _IMAGES_A_PAGE))
    service = _registry(options, api, environ)
    if options.verbosity > 0:
        _log_start(options)
    if not options.confirm:
        notice = "Dry run enabled - no modifications will be made. Add --confirm to remove images"
        print(notice, file=sys.stderr)
    if not options.prune_registry:
        print("Only API objects will be removed.  No modifications to the image registry will be made.")
    retention = Retention(options.keep_tag_revisions, since, options.all_images)
    deletions = Deletions(api, service, dry_run=not options.confirm)
    prune = BasePrune(images, usage, retention, deletions, faults)
    left = [pruned for stream in streams if (pruned := prune.prune_stream(stream)) is not None]
    if options.namespace is None:
        prune.prune_images(left)
    print(f"Summary: {deletions.statistics}")
    return [f"error: {error}" for error in deletions.errors]


def _registry(options: Options, api: ApiClient, environ: Mapping[str, str]) -> RegistryService | None:
    if not options.prune_registry:
        return None
    if "SANDBOX_STATE" not in environ:
        raise CommandError("SANDBOX_STATE is not set: it names the folder of the sandbox to prune")
    storage = storage_of(StateDirectory(Path(environ["SANDBOX_STATE"])))
    service = RegistryService(api, storage, options.registry_url)
    if options.confirm:
        try:
            service.ping()
        except RegistryServiceError as error:
            raise CommandError(f"failed to ping registry {options.registry_url}: {error}") from error
    return service


def _log_start(options: Options) -> None:
    now = datetime.now(UTC)
    print(
        f"I{now:%m%d %H:%M:%S.%f} {os.getpid():7} prune.go:348] Creating image pruner with "
        f"keepYoungerThan={format_duration(options.keep_younger_than)}, "
        f"keepTagRevisions={options.keep_tag_revisions}, pruneOverSizeLimit=<nil>, "
        f"allImages={str(options.all_images).lower()}",
        file=sys.stderr,
    )


def _told(error: ApiFailureError) -> str:
    if error.code == 401:
        return "error: You must be logged in to the server (Unauthorized)"
    if error.reason:
        return f"Error from server ({error.reason}): {error}"
    if "connection refused" in str(error):
        address = str(error).partition("dial tcp ")[2].partition(": ")[0]
        return f"The connection to the server {address} was refused - did you specify the right host or port?"
    return f"error: {error}"
