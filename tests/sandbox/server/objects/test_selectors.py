"""Label and field selectors."""

from __future__ import annotations

import pytest

from sandbox.server.errors import ApiError
from sandbox.server.objects.resources import resource_type
from sandbox.server.objects.selectors import field_selector, label_selector

POD = {
    "metadata": {"name": "one", "namespace": "shop", "labels": {"app": "web", "tier": "front", "empty": ""}},
    "spec": {"nodeName": "node-0"},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    "selector",
    [
        None,
        "",
        "app=web",
        "app==web,tier!=back",
        "app in (web, api)",
        "app in (web),tier notin (back,middle)",
        "nosuch notin (a)",
        "nosuch!=a",
        "app",
        "!nosuch",
        "empty=",
    ],
)
def test_label_selectors_that_match(selector: str | None) -> None:
    assert label_selector(selector)(POD)


@pytest.mark.parametrize("selector", ["app=api", "app!=web", "app notin (web)", "nosuch", "!app", "nosuch in (a)"])
def test_label_selectors_that_do_not_match(selector: str) -> None:
    assert not label_selector(selector)(POD)


@pytest.mark.parametrize("selector", ["a=b=c", "a in b", "in (a)", "a b"])
def test_a_label_selector_that_cannot_be_read_is_refused(selector: str) -> None:
    with pytest.raises(ApiError) as refusal:
        label_selector(selector)
    assert refusal.value.code == 400


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("metadata.name=one,metadata.namespace=shop", True),
        ("status.phase==Running", True),
        ("status.phase!=Running", False),
        ("spec.nodeName=node-1", False),
    ],
)
def test_field_selectors(selector: str, matches: bool) -> None:
    assert field_selector(resource_type("pods"), selector)(POD) is matches


def test_a_field_that_cannot_be_selected_by_is_refused() -> None:
    with pytest.raises(ApiError, match=r"field label not supported: spec\.hostname"):
        field_selector(resource_type("pods"), "spec.hostname=a")
