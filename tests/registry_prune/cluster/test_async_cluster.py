"""The connection of what follows a delete: as the one that every task has, in all that an administrator may set."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from include.registry_prune.cluster.async_cluster import AsyncCluster
from include.registry_prune.cluster.cluster import Cluster
from include.registry_prune.cluster.error import CertificateError, ClusterError
from include.registry_prune.cluster.requests import WATCH_CONFIG
from tests.registry_prune.cluster.test_kubernetes_api import Answer, answer, answers, asked, chunked

__all__ = ["answers", "asked"]  # fixtures

NOBODY_THERE = "http://127.0.0.1:9"


def look(configuration: client.Configuration) -> int | None:
    """Asks the API, and looks into a pod."""

    async def work() -> int | None:
        async with AsyncCluster.like(configuration) as cluster:
            await cluster.config()
            pods = await cluster.pods()
            end = await cluster.exec(pods[0].name, ("true",), lambda _, line: None, limit_seconds=300)
            return end.exit_status

    return asyncio.run(work())


def loaded(kubeconfig: Path) -> client.Configuration:
    return config.new_client_from_config(str(kubeconfig)).configuration


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower() in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("insecure", [False, True])
def test_a_connection_that_does_not_verify_the_certificate_does_not_verify_it_here(
    account: Path, insecure: bool
) -> None:
    """Guards insecure-skip-tls-verify: the delete would begin, and nobody could follow it."""
    content = yaml.safe_load(account.read_text())
    (entry,) = content["clusters"]
    for name in [name for name in entry["cluster"] if name.startswith("certificate-authority")]:
        del entry["cluster"][name]
    entry["cluster"]["insecure-skip-tls-verify"] = insecure
    account.write_text(yaml.safe_dump(content))
    if insecure:
        assert look(loaded(account)) == 0
    else:
        with pytest.raises(CertificateError, match="CERTIFICATE_VERIFY_FAILED"):
            look(loaded(account))


@pytest.mark.parametrize("exceptions", ["127.0.0.1", "example.com,127.0.0.0/8"])
def test_what_the_environment_excepts_from_its_proxy_is_asked_directly(
    account: Path, connect: Callable[[Path], Cluster], monkeypatch: pytest.MonkeyPatch, exceptions: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", NOBODY_THERE)
    monkeypatch.setenv("NO_PROXY", exceptions)
    assert connect(account).config()["metadata"]["name"] == "cluster", "as every other request"
    assert look(loaded(account)) == 0


def test_a_proxy_is_used_that_nothing_excepts(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", NOBODY_THERE)
    monkeypatch.setenv("NO_PROXY", "example.com")
    with pytest.raises(ClusterError, match="cannot be reached"):
        look(loaded(account))


async def read_config(cluster: AsyncCluster) -> None:
    await cluster.config()


async def watch_config(cluster: AsyncCluster) -> None:
    async for _ in cluster.watch(WATCH_CONFIG):
        pass


@pytest.mark.parametrize("ask", [read_config, watch_config])
@pytest.mark.parametrize("broken", [answer(200, length=100), answer(403, length=100), chunked])
def test_an_answer_that_breaks_off_is_a_request_that_failed(
    asked: Cluster, answers: list[Answer], ask: Callable[[AsyncCluster], Coroutine[Any, Any, None]], broken: Answer
) -> None:
    """Guards what follows a delete and renews a lease: both go on after a ClusterError, and die of anything else."""

    async def work() -> None:
        async with AsyncCluster.like(asked.configuration) as cluster:
            await ask(cluster)

    answers.append(broken)
    with pytest.raises(ClusterError, match="its answer broke off"):
        asyncio.run(work())
