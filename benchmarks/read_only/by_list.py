"""The delete by the list beside the documented one, from a bucket; and its memory with a list of a million."""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from kubernetes import config

from benchmarks import PROJECT
from benchmarks.benchmark import Benchmark, Row, Value
from benchmarks.contestants.airflow_run import SMALL_IMAGE
from benchmarks.contestants.contestant import Arena, Kubectl
from benchmarks.contestants.observer import WindowObserver
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.exact_delete.hand_over import LIST_FILE
from include.registry_prune.exact_delete.keys import blob_key
from include.registry_prune.exact_pod.hand_over import hand_over
from include.registry_prune.exact_pod.manifest import exact_delete_pod
from include.registry_prune.exact_pod.pod import START_SECONDS, Follower, create, wait_until_running
from include.registry_prune.lists.candidate_list import ListWriter, Seal
from include.registry_prune.pruner.dockerregistry import LineKind
from include.registry_prune.pruner.exact_delete_pod import DELETE, end_exact_pod, exact_pod
from sandbox.base.settings import SandboxSettings
from sandbox.cluster import Sandbox
from sandbox.object_storage.server import ObjectStorageServer
from sandbox.registry.seed.inventory import SeedInventory
from sandbox.registry.seed.seed import SeedPlan

_SETTLE_SECONDS = 120.0
_IMAGES = 40
_MILLION = 1_000_000
_MIB = 1024
_PEAK = (
    "import sys; from include.registry_prune.exact_delete.__main__ import main; status = main(sys.argv[1:]); "
    "(peak,) = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')]; "
    "print(peak, file=sys.stderr); sys.exit(status)"
)


def _measure(options: argparse.Namespace) -> Iterator[Row]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox(
            Path(folder) / "sandbox", SandboxSettings.quick(replicas=1, storage="s3", real_registry=False)
        ) as sandbox,
    ):
        sandbox.seed(SeedPlan(images=_IMAGES, orphans=options.one_by_one))
        sandbox.configure_registry(readOnly=True)
        sandbox.wait_until_settled(_SETTLE_SECONDS)
        yield _documented(sandbox, Path(folder), options)
        _fill(sandbox, options.in_batches)
        yield _by_list(sandbox, options)
    yield _memory(options)


def _fill(sandbox: Sandbox, count: int) -> None:
    """Orphans of one byte each, and nothing else of them: to seed them with their repositories takes an hour."""
    bucket = sandbox.object_storage.bucket
    client = bucket.client()
    for number in range(count):
        client.put_object(Bucket=bucket.name, Key=blob_key(f"sha256:{number:064x}"), Body=b"x")


def _documented(sandbox: Sandbox, folder: Path, options: argparse.Namespace) -> Row:
    """``dockerregistry -prune=delete``, of the sandbox's stand-in, which asks the bucket what the real one asks it."""
    with WindowObserver(sandbox) as observer:
        kubectl = Kubectl(Arena(sandbox, observer, folder))
    kubectl.grant_role()
    orphans = len(_orphans(sandbox))
    words = ("exec", kubectl.running_pod(), "--", "/usr/bin/dockerregistry", "-prune=delete")
    with _Latency(sandbox, options) as taken:
        kubectl(*words, errors=folder / "log")
    left = len(_orphans(sandbox))
    return _row("dockerregistry -prune=delete", orphans - left, taken, options)


def _by_list(sandbox: Sandbox, options: argparse.Namespace) -> Row:
    cluster = Cluster(config.new_client_from_config(str(sandbox.kubeconfig)))
    orphans = _orphans(sandbox)
    file = io.BytesIO()
    seal = _write(file, orphans)
    deployment = cluster.deployment()
    assert deployment is not None
    with _Latency(sandbox, options) as taken:
        uid = create(
            cluster,
            exact_delete_pod(
                deployment,
                image=SMALL_IMAGE,
                purpose=DELETE,
                window="benchmark",
                kept_as="benchmark",
                seal=seal,
                deadline_seconds=600,
                list_seconds=START_SECONDS,
            ),
        )
        wait_until_running(cluster, uid, limit_seconds=START_SECONDS)
        hand_over(cluster, uid, lambda: (file.getvalue(),))
        end = Follower(cluster, uid, lambda event: None).follow(limit_seconds=600)
    pod = exact_pod(cluster)
    if end is None or not end.complete or pod is None or end.ended is None:
        raise RuntimeError(f"the delete by the list did not come to its end: {end.text() if end else 'it is at work'}")
    end_exact_pod(cluster, pod)
    return _row("by the list", len(orphans) - len(_orphans(sandbox)), taken, options) | {"at work s": end.ended.seconds}


def _memory(options: argparse.Namespace) -> Row:
    """The pod's process with a list of a million keys, against an empty bucket."""
    import boto3

    with ObjectStorageServer() as server, tempfile.TemporaryDirectory() as folder:
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=server.url, **keys)
        client.create_bucket(Bucket="registry")
        client.put_object(Bucket="registry", Key="docker/registry/v2/blobs/sha256/00/00/data", Body=b"x")
        with (Path(folder) / LIST_FILE).open("wb") as file:
            seal = _write(file, [f"sha256:{number:064x}" for number in range(options.keys)])
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            "REGISTRY_STORAGE": "s3",
            "REGISTRY_STORAGE_S3_BUCKET": "registry",
            "REGISTRY_STORAGE_S3_REGION": "us-east-1",
            "REGISTRY_STORAGE_S3_REGIONENDPOINT": server.url,
            "REGISTRY_STORAGE_S3_ACCESSKEY": "key",
            "REGISTRY_STORAGE_S3_SECRETKEY": "secret",
            "REGISTRY_STORAGE_MAINTENANCE_READONLY": "{enabled: true}",
            "REGISTRY_PRUNE_SEAL": seal.model_dump_json(),
        }
        command = [sys.executable, "-c", _PEAK, DELETE, "--work-folder", folder]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    ended = json.loads(done.stdout.splitlines()[-1])
    return {
        "who": "by the list, its process alone",
        "latency ms": 0,
        "blobs": ended["blobs"]["done"],
        "seconds": ended["seconds"],
        "at work s": ended["seconds"],
        "requests": ended["requests"],
        "blobs/s": ended["blobs"]["done"] / ended["seconds"],
        "peak MiB": int(done.stderr.splitlines()[-1]) / _MIB,
    }


def _write(file: io.BytesIO | io.BufferedWriter, digests: Sequence[str]) -> Seal:
    with ListWriter(file, {"run": "benchmark"}) as writer:
        for digest in digests:
            writer.add(LineKind.BLOB, digest)
    return writer.seal


def _orphans(sandbox: Sandbox) -> list[str]:
    return sorted(sandbox.stored_digests() - SeedInventory.read(sandbox.state).needed)


class _Latency:
    """The bucket answers later meanwhile; what was asked of it, and how long it took."""

    def __init__(self, sandbox: Sandbox, options: argparse.Namespace) -> None:
        self._storage = sandbox.object_storage
        self._latency = options.latency / 1000

    def __enter__(self) -> _Latency:
        self._storage.requests.clear()
        self._storage.faults.latency = self._latency
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._began
        self._storage.faults.latency = 0.0
        self.requests = sum(self._storage.requests.values())


def _row(who: str, blobs: int, taken: _Latency, options: argparse.Namespace) -> dict[str, Value]:
    return {
        "who": who,
        "latency ms": options.latency,
        "blobs": blobs,
        "seconds": taken.seconds,
        "at work s": taken.seconds,
        "requests": taken.requests,
        "blobs/s": blobs / taken.seconds,
        "peak MiB": None,
    }


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("by_list")
    group.add_argument("--one-by-one", type=int, default=2_000, help="orphans of the documented delete (%(default)s)")
    group.add_argument("--in-batches", type=int, default=20_000, help="orphans of the list (%(default)s)")
    group.add_argument("--latency", type=float, default=20.0, help="of each request, in ms (%(default)s)")
    group.add_argument("--keys", type=int, default=_MILLION, help="of the list whose memory is measured (%(default)s)")


BENCHMARK = Benchmark(
    name="by_list",
    title="By the list, from a bucket",
    about="""
A real S3 (moto's server) that answers each request 20 ms late. The documented delete is the sandbox's stand-in, which
makes the requests that the real `dockerregistry` was seen to make: 3.8 for each orphan, one after another. *By the
list*: in the pod of the exact delete, from its making to its end; *at work* is without its start. The documented one
has a tenth of the blobs, as it would take most of an hour. The last row is its process alone, with a list of a million
keys, against an empty bucket without latency: its memory must not grow with the list.
""",
    columns=("who", "latency ms", "blobs", "seconds", "at work s", "requests", "blobs/s", "peak MiB"),
    keys=("who", "latency ms", "blobs"),
    measure=_measure,
    add_arguments=_add_arguments,
)
