"""Whose turn it is to open a window, where only so many may be open at once (pure).

Each run writes a claim before it reads those of the others, and acts on it a while later: of two that come at the same
second, each sees the other's by then. The one that claimed first goes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, Self

from pydantic import AwareDatetime

from include.registry_prune.records import Record

SEEN_AFTER = timedelta(seconds=45)
"""A claim is acted upon after this time: by then everybody else sees it. The gate looks once a minute."""
WAITS_FOR = timedelta(minutes=5)
"""A claim that nobody has renewed for so long has lost its place: something is in that run's way, or it is gone."""


class Claim(Record):
    """One cluster's wish for a window.

    :param claimed_at: since when it waits without a break; the order of the claims.
    :param good_until: when it counts no longer, whatever became of its run.
    :param opens: its turn has come: the window is open, or will be within seconds.
    """

    version: Literal[1] = 1
    cluster: str
    run: str
    claimed_at: AwareDatetime
    good_until: AwareDatetime
    opens: bool = False

    def renewed(self, now: datetime) -> Self:
        """The same claim, as its run looks again."""
        return self.model_copy(update={"good_until": now + WAITS_FOR})

    def opened(self, until: datetime) -> Self:
        """The same claim once its turn has come.

        :param until: when the window is closed, whatever happens.
        """
        return self.model_copy(update={"opens": True, "good_until": until})

    def text(self) -> str:
        """For people."""
        return f"{self.cluster} ({'read-only' if self.opens else f'waiting since {self.claimed_at:%H:%M:%S %Z}'})"


def claim_of(earlier: Claim | None, *, cluster: str, run: str, now: datetime) -> Claim:
    """The claim of a run that looks now: it keeps its place if it had one.

    :param earlier: what the cluster claimed last.
    """
    if earlier is not None and earlier.run == run and earlier.good_until > now:
        return earlier if earlier.opens else earlier.renewed(now)
    return Claim(cluster=cluster, run=run, claimed_at=now, good_until=now + WAITS_FOR)


def why_not_yet(own: Claim, others: Iterable[Claim], *, now: datetime, at_once: int) -> str | None:
    """Why this claim's turn has not come; None if it has.

    :param others: the claims of other clusters.
    :param at_once: so many windows may be open at once.
    """
    if own.opens:
        return None
    ahead = sorted(
        (
            each
            for each in others
            if each.good_until > now and (each.opens or (each.claimed_at, each.cluster) < (own.claimed_at, own.cluster))
        ),
        key=lambda each: (not each.opens, each.claimed_at),
    )
    if len(ahead) >= at_once:
        shown = ", ".join(each.text() for each in ahead[:5]) + (", …" if len(ahead) > 5 else "")
        return f"{at_once} clusters may be read-only at once (windows_at_once), and before this one come {shown}"
    if now - own.claimed_at < SEEN_AFTER:
        return "its turn is claimed, and the others have to see that first"
    return None
