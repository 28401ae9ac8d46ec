"""TLS for the API server: an authority of its own and a certificate for this machine's loopback addresses."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServerCertificate:
    """PEM data of a server.

    :param authority: the CA's certificate: what clients trust.
    :param certificate: the server's certificate.
    :param key: the server's private key.
    """

    authority: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def generate(cls) -> Self:
        """A new authority and a certificate signed by it, for 127.0.0.1, ::1 and localhost."""
        # Late: the command line reads certificates in each of its commands, and makes none.
        from trustme import CA

        authority = CA(organization_name="sandbox", organization_unit_name="sandbox-cluster-ca")
        server = authority.issue_cert(*_NAMES, common_name="kube-apiserver")
        return cls(
            authority.cert_pem.bytes(),
            b"".join(pem.bytes() for pem in server.cert_chain_pems),
            server.private_key_pem.bytes(),
        )

    def write(self, directory: Path) -> None:
        """Write ``ca.crt``, ``tls.crt`` and ``tls.key`` (readable by the owner only)."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "ca.crt").write_bytes(self.authority)
        (directory / "tls.crt").write_bytes(self.certificate)
        key = directory / "tls.key"
        key.touch(mode=0o600)
        key.write_bytes(self.key)

    @classmethod
    def read(cls, directory: Path) -> Self:
        """What :meth:`write` wrote.

        :raises FileNotFoundError: one of the files is not there.
        """
        return cls(*((directory / name).read_bytes() for name in ("ca.crt", "tls.crt", "tls.key")))


def server_context(directory: Path) -> ssl.SSLContext:
    """The TLS context of a server from the files of :meth:`ServerCertificate.write`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    return context
