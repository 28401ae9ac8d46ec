"""The base of everything that is handed from one task to the next (pure)."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A small frozen value that travels through XCom as plain JSON.

    Sub-classes carry a ``version``, units in the names of their fields, and no list that grows with the
    registry.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> dict[str, Any]:
        """The value as plain JSON types."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read back what :meth:`to_json` made.

        :raises pydantic.ValidationError: if it is something else.
        """
        return cls.model_validate(value)
