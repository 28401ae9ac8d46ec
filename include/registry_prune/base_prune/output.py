"""What ``oc adm prune images`` prints, and what it means (pure).

The image pruner's Job runs the command up to six times, one attempt after another in one log. Each attempt that
deleted something prints its own ``Summary:``, also one that goes on to fail: what a Job deleted is their sum.
Source: github.com/openshift/oc, ``pkg/cli/admin/prune``; the Job's script: cluster-image-registry-operator,
``pkg/resource/prunercronjob.go``.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, Self

from include.registry_prune.names import DEPLOYMENT, NAMESPACE
from include.registry_prune.records import Record
from include.registry_prune.units import format_count

KEPT_LOG_LINES = 200
"""The message about a failure has at most this many last lines of the log."""

_PREFIX = "Summary: "
_PART = re.compile(r"(?:deleted|updated) ([0-9]{1,18}) ([a-z ]+(?:\(s\))?)")
_NEXT_ATTEMPT = re.compile(r"attempt #\d+ has failed \(exit code \d+\), going to make another attempt\.\.\.")
_FIELDS = {
    "image object(s)": "images",
    "image stream tag item(s)": "image_stream_tags",
    "image stream(s)": "image_streams",
    "layer link(s)": "layer_links",
    "manifest link(s)": "manifest_links",
    "blob(s)": "blobs",
}
_NOTHING = "objects"


class PruneFigures(Record):
    """What one base prune deleted, or in a dry run would delete.

    :param images: Image objects.
    :param image_stream_tags: revisions taken from the history of tags.
    :param image_streams: image streams that were updated, and that is all: they stay.
    :param layer_links: links of repositories to layers; likewise ``manifest_links``.
    :param blobs: blobs in the registry's storage.
    """

    images: int = 0
    image_stream_tags: int = 0
    image_streams: int = 0
    layer_links: int = 0
    manifest_links: int = 0
    blobs: int = 0

    def __add__(self, other: Self) -> Self:
        ours, theirs = self.model_dump(), other.model_dump()
        return type(self)(**{name: ours[name] + theirs[name] for name in ours})

    @property
    def storage_changed(self) -> bool:
        """Whether anything went from the registry's storage, and not from the API alone."""
        return bool(self.layer_links or self.manifest_links or self.blobs)

    def text(self) -> str:
        """The figures for people: ``3 images, 1,200 layer links, 17 blobs``; ``nothing``."""
        counts = (
            (self.images, "image"),
            (self.image_stream_tags, "image stream tag revision"),
            (self.layer_links, "layer link"),
            (self.manifest_links, "manifest link"),
            (self.blobs, "blob"),
        )
        return ", ".join(format_count(count, noun) for count, noun in counts if count) or "nothing"


def parse_summary(line: str) -> PruneFigures | None:
    """The figures of a summary line such as ``Summary: deleted 3 image object(s), deleted 17 blob(s)``.

    :return: None if the line is no summary, or counts something that is not known here.
    """
    figures: dict[str, int] = {}
    for part in line.strip().removeprefix(_PREFIX).split(", "):
        said = _PART.fullmatch(part)
        if said is None:
            return None
        number, noun = int(said[1]), said[2]
        if noun in _FIELDS:
            figures[_FIELDS[noun]] = number
        elif noun != _NOTHING or number:
            return None
    return PruneFigures(**figures)


class PruneLog:
    """Reads the log of a base prune line by line, in bounded memory.

    :param dry_run: then nothing was deleted by earlier attempts, and the last summary alone counts.
    :ivar dry_run: as given.
    :ivar figures: the sum of the summaries; None as long as there was none.
    :ivar summary: the last summary line.
    :ivar attempts: how many attempts were begun.
    """

    def __init__(self, *, dry_run: bool) -> None:
        self.dry_run = dry_run
        self._lines: deque[str] = deque(maxlen=KEPT_LOG_LINES)
        self._last_attempt: deque[str] = deque(maxlen=KEPT_LOG_LINES)
        self.figures: PruneFigures | None = None
        self.summary = ""
        self.attempts = 1

    def feed(self, line: str) -> None:
        """Take the next line."""
        self._lines.append(line)
        if _NEXT_ATTEMPT.fullmatch(line.strip()):
            self.attempts += 1
            self._last_attempt.clear()
            return
        self._last_attempt.append(line)
        figures = parse_summary(line)
        if figures is not None:
            earlier = None if self.dry_run else self.figures
            self.figures = figures if earlier is None else earlier + figures
            self.summary = line.strip()

    def end(self) -> str:
        """The last lines."""
        return "\n".join(self._lines)

    def cause(self) -> Cause | None:
        """What made the last attempt fail, if it is something known."""
        return find_cause(self._last_attempt)

    def streams_left(self) -> int:
        """How many image streams the last attempt left as they were, because somebody changed each of them while it was
        written; 0 if anything else went wrong, too.

        The pruner goes on with all others, prints its summary, and then a line for each thing that went wrong.
        """
        lines = list(self._last_attempt)
        summaries = [number for number, line in enumerate(lines) if parse_summary(line) is not None]
        problems = [line for line in lines[summaries[-1] + 1 :] if line.strip()] if summaries else []
        return len(problems) if all(map(_CHANGED_MEANWHILE.fullmatch, problems)) else 0


class Cause(NamedTuple):
    """Why a base prune failed.

    :param passes: it is over after a while without anybody's help: worth another try.
    :param advice: what it means and what to do.
    """

    passes: bool
    advice: str


_CHANGED_MEANWHILE = re.compile(
    r"(?:error: )?imagestream \S+: Operation cannot be fulfilled on imagestreams\.image\.openshift\.io \S+: the object "
    r"has been modified.*"
)
_UNAVAILABLE = r"server is currently unable to handle the request"
_CAUSES: tuple[tuple[re.Pattern[str], Cause], ...] = (
    # Served by openshift-apiserver; the API server itself forwards the request and answers 503 when nobody is there.
    (
        re.compile(rf"{_UNAVAILABLE} \([a-z]+ [a-z]+\.(?:image|build|apps)\.openshift\.io\)"),
        Cause(
            True,
            "The OpenShift API server, which serves images, builds and DeploymentConfigs, did not answer (503); the "
            "images are not at fault. If that does not pass, look at `oc get apiservices | grep openshift.io` and "
            "`oc get clusteroperator openshift-apiserver`.",
        ),
    ),
    (
        re.compile(rf"{_UNAVAILABLE}|\(ServiceUnavailable\)|The connection to the server \S+ was refused|etcdserver: "),
        Cause(True, "The API server did not answer while the base prune worked. Another try is worth it."),
    ),
    (
        re.compile(r"following objects have invalid references"),
        Cause(
            False,
            "Objects of the cluster name images by something that is no image reference; the log names them. Correct "
            "or delete them, or set spec.ignoreInvalidImageReferences of ImagePruner cluster.",
        ),
    ),
    (
        re.compile(r"failed to ping registry"),
        Cause(
            False,
            f"The Job's pod does not reach the registry: look at the registry's pods, at Service {DEPLOYMENT}, and "
            f"at the NetworkPolicies of namespace {NAMESPACE}.",
        ),
    ),
    (
        re.compile(r"\(Unauthorized\)|\(Forbidden\)|is forbidden: User"),
        Cause(
            False,
            "The image pruner's own service account `pruner` lacks a right. The registry's operator keeps its "
            "ClusterRoleBinding openshift-image-registry-pruner: is the operator at work?",
        ),
    ),
)  # fmt: skip


def find_cause(lines: Iterable[str]) -> Cause | None:
    """The first known cause, in the order above, that a log's lines show; None if they show none."""
    text = "\n".join(lines)
    return next((cause for pattern, cause in _CAUSES if pattern.search(text)), None)
