"""The pruners' and the seed's client of the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sandbox.registry.api import IMAGES, ApiClient, ApiFailureError
from tests.sandbox.registry.tiny_api import TOKEN, TinyApi


def image(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}}


@pytest.fixture
def client(api: TinyApi, tmp_path: Path) -> Iterator[ApiClient]:
    with closing(ApiClient.from_kubeconfig(api.write_kubeconfig(tmp_path / "kubeconfig"))) as client:
        yield client


def test_pages_are_put_together(api: TinyApi, client: ApiClient) -> None:
    for number in range(5):
        api.put(IMAGES, image(f"sha256:{number}"))
    assert [found["metadata"]["name"] for found in client.pages(IMAGES, 2)] == [f"sha256:{n}" for n in range(5)]
    assert len(api.requests) == 3


def test_a_connection_is_kept_and_opened_again(api: TinyApi, client: ApiClient) -> None:
    api.put(IMAGES, image("one"))
    assert client.get(IMAGES, "one")["metadata"]["name"] == "one"
    client.close()
    client.delete(IMAGES, "one")
    with pytest.raises(ApiFailureError, match=r'images\.image\.openshift\.io "one" not found') as failure:
        client.get(IMAGES, "one")
    assert (failure.value.code, failure.value.reason) == (404, "NotFound")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (401, "the server has asked for the client to provide credentials (get images.image.openshift.io one)"),
        (404, "the server could not find the requested resource (get images.image.openshift.io one)"),
        (429, "the server has received too many requests and has asked us to try again later "
              "(get images.image.openshift.io one)"),
        (500, 'an error on the server ("unknown") has prevented the request from succeeding '
              "(get images.image.openshift.io one)"),
    ],
)  # fmt: skip
def test_an_answer_that_says_nothing_is_told_as_client_go_tells_it(
    code: int, message: str, api: TinyApi, client: ApiClient
) -> None:
    api.answers.append((code, None))
    with pytest.raises(ApiFailureError) as failure:
        client.get(IMAGES, "one")
    assert (str(failure.value), failure.value.code) == (message, code)


def test_a_kubeconfig_may_be_yaml_and_name_a_file_with_the_token(api: TinyApi, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "kubeconfig").write_text(
        f"""
        current-context: it
        contexts: [{{name: it, context: {{cluster: it, user: it}}}}]
        clusters: [{{name: it, cluster: {{server: "{api.url}"}}}}]
        users: [{{name: it, user: {{tokenFile: "{tmp_path}/token"}}}}]
        """
    )
    with closing(ApiClient.from_kubeconfig(tmp_path / "kubeconfig")) as client:
        assert client.list(IMAGES) == []


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"current-context": "a", "contexts": []})])
def test_a_kubeconfig_that_names_nothing_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(content)
    with pytest.raises(ApiFailureError, match=r"invalid configuration: .*kubeconfig"):
        ApiClient.from_kubeconfig(tmp_path / "kubeconfig")
