"""A sandbox's certificate, its tokens, and kubeconfigs with them. They outlive ``down`` and ``up``."""

from __future__ import annotations

import secrets
from pathlib import Path

from sandbox.base.paths import StateDirectory
from sandbox.server.access.authentication import MASTERS, TokenAuthenticator
from sandbox.server.access.certificates import ServerCertificate
from sandbox.server.access.kubeconfig import write_kubeconfig

ADMINISTRATOR = "system:admin"


class Credentials:
    """Keys and certificates of one sandbox, in its state folder."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self.tls_directory = state.root / "tls"

    def prepare(self) -> TokenAuthenticator:
        """Make what is missing; returns the authenticator that knows the sandbox's tokens."""
        try:
            ServerCertificate.read(self.tls_directory)
        except FileNotFoundError:
            ServerCertificate.generate().write(self.tls_directory)
        key = self._token_key
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(secrets.token_bytes(32))
        return self.authenticator

    @property
    def authenticator(self) -> TokenAuthenticator:
        """Issues and recognizes the sandbox's tokens.

        :raises FileNotFoundError: the sandbox has never been up.
        """
        return TokenAuthenticator(self._token_key.read_bytes())

    @property
    def authority(self) -> bytes:
        """PEM of the CA."""
        return (self.tls_directory / "ca.crt").read_bytes()

    @property
    def administrator_token(self) -> str:
        """Token of a cluster-admin."""
        return self.authenticator.issue(ADMINISTRATOR, [MASTERS])

    def write_administrator_kubeconfig(self, url: str) -> None:
        """Write ``state.kubeconfig``."""
        write_kubeconfig(self._state.kubeconfig, url, self.authority, self.administrator_token)

    def write_service_account_kubeconfig(self, url: str, namespace: str, name: str, path: Path | None = None) -> Path:
        """Write the kubeconfig of a service account; returns its path.

        :param path: default is a file in the state folder.
        """
        path = path or self._state.root / "kubeconfigs" / f"{namespace}-{name}"
        token = self.authenticator.service_account_token(namespace, name)
        return write_kubeconfig(path, url, self.authority, token, user=name, namespace=namespace)

    @property
    def _token_key(self) -> Path:
        return self._state.root / "token-key"
