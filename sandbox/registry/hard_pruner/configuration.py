"""How the registry reads its configuration from ``REGISTRY_…`` variables.

Facts from github.com/distribution/distribution v3 (configuration) and github.com/openshift/image-registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.base.paths import StateDirectory
from sandbox.registry.hard_pruner.logrus import Logger, level_named

_PREFIX = "REGISTRY_"
_NOT_OF_THE_CONFIGURATION = ("REGISTRY_OPENSHIFT_", "REGISTRY_CONFIGURATION_PATH")
_LEVELS = ("error", "warn", "info", "debug")
_FORMATTERS = ("", "text", "json", "logstash")
_MOUNT = "/registry"

# What the configuration has at each level. Sections that are not listed accept any name.
_SECTIONS = {
    (): (
        "VERSION", "LOG", "LOGLEVEL", "STORAGE", "AUTH", "MIDDLEWARE", "REPORTING", "HTTP", "NOTIFICATIONS",
        "REDIS", "HEALTH", "CATALOG", "PROXY", "COMPATIBILITY", "VALIDATION", "POLICY",
    ),
    ("LOG",): ("ACCESSLOG", "LEVEL", "FORMATTER", "FIELDS", "HOOKS"),
    ("HTTP",): (
        "ADDR", "NET", "HOST", "PREFIX", "SECRET", "RELATIVEURLS", "DRAINTIMEOUT", "TLS", "HEADERS", "DEBUG",
        "HTTP2",
    ),
    ("HTTP", "TLS"): ("CERTIFICATE", "KEY", "CLIENTCAS", "MINIMUMTLS", "CIPHERSUITES", "LETSENCRYPT"),
    ("HEALTH",): ("FILECHECKERS", "HTTPCHECKERS", "TCPCHECKERS", "STORAGEDRIVER"),
}  # fmt: skip


class ConfigurationError(Exception):
    """The registry cannot start so."""


@dataclass(frozen=True)
class Configuration:
    """What the pruner takes from its environment.

    :param level: of the log; None if none is set: the pruner and the integrity check differ in their default.
    :param formatter: ``text`` or ``json``.
    :param storage: the folder with the registry's data.
    :param shown_storage: that folder as the pod believes it to be called.
    """

    level: str | None
    formatter: str
    storage: Path
    shown_storage: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Configuration:
        """Read the variables, in the order of their names, with a warning for each that means nothing.

        :raises ConfigurationError: a value is not accepted.
        """
        log = Logger(whole_seconds=True)
        for name in sorted(environ):
            if name.startswith(_PREFIX) and not name.startswith(_NOT_OF_THE_CONFIGURATION):
                if not _is_recognized(name):
                    log.line("warning", f"Ignoring unrecognized environment variable {name}")
                if name in ("REGISTRY_LOG_LEVEL", "REGISTRY_LOGLEVEL"):
                    _check_level(name, environ[name])
        storage = _storage(environ)
        return cls(
            level=level_named(environ.get("REGISTRY_LOG_LEVEL", "")),
            formatter=environ.get("REGISTRY_LOG_FORMATTER", ""),
            storage=storage,
            shown_storage=_shown(storage, environ),
        )

    def logger(self, default_level: str) -> Logger:
        """The log that this configuration asks for.

        :param default_level: if none is set.
        :raises ConfigurationError: there is no such formatter.
        """
        if self.formatter not in _FORMATTERS:
            raise ConfigurationError(f'unsupported logging formatter: "{self.formatter}"')
        log = Logger(self.level or default_level, self.formatter)
        if self.formatter:
            log.line("debug", f'using "{self.formatter}" logging formatter')
        return log


def _is_recognized(variable: str) -> bool:
    path = tuple(variable.removeprefix(_PREFIX).split("_"))
    return all(path[depth] in _SECTIONS[path[:depth]] for depth in range(len(path)) if path[:depth] in _SECTIONS)


def _check_level(variable: str, value: str) -> None:
    if value and value.lower() not in _LEVELS:
        raise ConfigurationError(
            f"parsing environment variable {variable}: invalid loglevel {value.lower()} "
            f"Must be one of [{', '.join(_LEVELS)}]"
        )


def _storage(environ: Mapping[str, str]) -> Path:
    # Variables of an object storage do not count: in a pod the blobs are always in the sandbox's folder.
    state = environ.get("SANDBOX_STATE")
    default = StateDirectory(Path(state)).storage if state else _MOUNT
    return Path(environ.get("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", default))


def _shown(storage: Path, environ: Mapping[str, str]) -> str:
    # The kubelet puts the real folder where the pod's variables say /registry: undone for messages.
    state = environ.get("SANDBOX_STATE")
    if state and storage == StateDirectory(Path(state)).storage:
        return _MOUNT
    return str(storage)
