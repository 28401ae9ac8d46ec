"""The base of everything that is handed from one task to the next (pure)."""

from __future__ import annotations

import re
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Record(BaseModel):
    """A small frozen value that travels through XCom as plain JSON.

    Sub-classes carry a ``version``, units in the names of their fields, and no list that grows with the
    registry.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        """No text in a record has what PostgreSQL refuses in an XCom, and JSON in UTF-8 has not: a NUL, or half of a
        surrogate pair. Lines of the pruner may have either."""
        return _without_unstorable(value)

    def to_json(self) -> dict[str, Any]:
        """The value as plain JSON types."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read back what :meth:`to_json` made.

        :raises pydantic.ValidationError: if it is something else.
        """
        return cls.model_validate(value)


def _without_unstorable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value) if _UNSTORABLE.search(value) else value
    if type(value) in (list, tuple):
        return type(value)(map(_without_unstorable, value))
    if type(value) is dict:
        return {key: _without_unstorable(each) for key, each in value.items()}
    return value


class WindowRecord(Record):
    """A record that belongs to one window: what was found, or decided, for it.

    :param window: the window's token; empty for what was found outside of any window. Airflow keeps what a task handed
        over when a person clears or marks its neighbours, so no task may take such a record for its own window's
        without a look at this.
    """

    window: str = ""

    def of_window(self, token: str) -> Self:
        """The same record, bound to this window."""
        return self.model_copy(update={"window": token})
