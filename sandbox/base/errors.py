"""What a user of the sandbox can do something about."""

from __future__ import annotations


class SandboxError(Exception):
    """The sandbox cannot do what it was asked; the message says why and what to do."""
