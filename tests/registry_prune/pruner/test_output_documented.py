"""The output that OpenShift's documentation shows (section 14.7), of a pruner of 2017, is understood too."""

from __future__ import annotations

import pytest

from include.registry_prune.cluster.exec_channels import Stream
from include.registry_prune.pruner.dockerregistry import LineKind, Summary
from include.registry_prune.pruner.output import PrunerOutput, understand

STARTED = (
    'time="2017-06-22T11:50:25.066156047Z" level=info msg="start prune (dry-run mode)" '
    'distribution_version="v2.4.1+unknown" kubernetes_version=v1.6.1+$Format:%h$ openshift_version=unknown'
)
DIGESTS = (
    "sha256:00043a2a5e384f6b59ab17e2c3d3a3d0a7de01b2cabeb606243e468acc663fa5",
    "sha256:0022d49612807cb348cabc562c072ef34d756adfe0100a61952cbcb87ee6578a",
    "sha256:ff9b8956794b426cc80bb49a604a0b24a1553aae96b930c6919a6675db3d5e06",
)


def listed(digest: str) -> str:
    return (
        f'time="2017-06-22T11:50:25.092257421Z" level=info msg="Would delete blob: {digest}" '
        "go.version=go1.7.5 instance.id=b097121c-a864-4e0c-ad6c-cc25f8fdf5a6"
    )


def test_the_documented_dry_run() -> None:
    output = PrunerOutput("check")
    assert output.feed(Stream.STDERR, STARTED).kind is LineKind.NOTE
    assert [output.feed(Stream.STDERR, listed(digest)).subject for digest in DIGESTS] == list(DIGESTS)
    for line in (
        "Would delete 13374 blobs",
        "Would free up 2.835 GiB of disk space",
        "Use -prune=delete to actually delete the data",
    ):
        assert output.feed(Stream.STDOUT, line).kind is LineKind.SUMMARY
    result = output.result(0)
    assert result.said == Summary(blobs=13374, rounded_bytes=round(2.835 * 1024**3))
    assert result.counted_blobs == len(DIGESTS)
    assert result.complete
    assert result.text() == "found 13,374 blobs, about 2.835 GiB (its log lists 3)"


def test_the_documented_delete() -> None:
    output = PrunerOutput("delete")
    output.feed(Stream.STDOUT, "Deleted 13374 blobs")
    output.feed(Stream.STDOUT, "Freed up 2.835 GiB of disk space")
    result = output.result(0)
    assert result.complete
    assert result.said is not None
    assert result.said.blobs == 13374
    assert result.said.rounded_bytes == 3_044_058_071


@pytest.mark.parametrize(
    "line",
    [
        'time="2026-11-23T17:57:46Z" level=warning msg="Ignoring unrecognized environment variable '
        'REGISTRY_HTTP_TLS_MINVERSION"',
        '{"level":"warning","msg":"Ignoring unrecognized environment variable REGISTRY_HTTP_TLS_MINVERSION"}',
    ],
)
def test_the_first_line_in_a_pod_of_the_operator_is_a_warning_and_no_error(line: str) -> None:
    assert understand(line) == (
        LineKind.WARNING,
        "Ignoring unrecognized environment variable REGISTRY_HTTP_TLS_MINVERSION",
    )
