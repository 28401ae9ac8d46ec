"""The tripwire alone: blobs and Images in any order; what is in both is found, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.registry_prune.deletion import tripwire as module
from include.registry_prune.deletion.tripwire import ImageNames, Trip, Tripped, Tripwire
from include.registry_prune.verdict.references import MalformedObjectError, audit

PROJECT = Path(__file__).parents[3]


def blob(number: int) -> str:
    return f"sha256:{number:016x}{0:048x}"


def image(number: int, *layers: int, config: int | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": blob(number)},
        "dockerImageMetadata": {"Id": blob(config)} if config is not None else None,
        "dockerImageLayers": [{"name": blob(layer)} for layer in layers],
        "dockerImageReference": f"registry/ns/name@{blob(number)}",
    }


@pytest.mark.parametrize("part", [1000, 1001, 1002, 1003])
def test_whatever_an_image_names_is_found(part: int) -> None:
    """Its own manifest, its config, a layer, a manifest below it: as the audit before the delete."""
    whole = {**image(1000, 1001, config=1002), "dockerImageManifests": [{"digest": blob(1003)}]}
    tripwire = Tripwire()
    assert tripwire.image(whole) is None
    assert tripwire.blob(blob(5)) is None
    assert tripwire.blob(blob(part)) == Trip(blob(part), (blob(1000),))


def test_an_image_that_comes_later_is_held_against_the_blobs_so_far() -> None:
    tripwire = Tripwire()
    assert tripwire.blob(blob(1)) is None
    assert tripwire.image(image(1000, 2)) is None
    assert tripwire.image(image(1001, 1)) == Trip(blob(1), (blob(1001),))


def test_an_image_that_is_changed_counts_as_it_is_now() -> None:
    tripwire = Tripwire()
    tripwire.image(image(1000, 1))
    tripwire.image(image(1000, 2))
    assert tripwire.blob(blob(1)) is None
    assert tripwire.blob(blob(2)) is not None
    assert tripwire.images == 1


def test_what_an_image_named_that_is_gone_may_be_deleted() -> None:
    """Guards a delete from false alarms: somebody deletes an Image in the window, and its blobs are orphans then."""
    tripwire = Tripwire()
    tripwire.image(image(1000, 1, 2))
    tripwire.image(image(1001, 2))
    tripwire.image_gone(blob(1000))
    assert tripwire.blob(blob(1)) is None
    assert tripwire.blob(blob(2)) == Trip(blob(2), (blob(1001),))


def test_while_images_are_listed_anew_what_was_known_of_them_counts_too() -> None:
    tripwire = Tripwire()
    tripwire.image(image(1000, 1))
    tripwire.list_anew()
    tripwire.image(image(1001, 2))
    assert tripwire.blob(blob(1)) is not None
    assert tripwire.blob(blob(2)) is not None
    tripwire.all_listed()
    assert tripwire.blob(blob(1)) is None, "its Image is gone"
    assert tripwire.images == 1


def test_an_image_whose_name_is_no_digest_is_known_by_it_all_the_same() -> None:
    names = ImageNames()
    odd = {**image(1, 2), "metadata": {"name": "odd"}}
    names.add(odd)
    names.add(odd)
    assert len(names) == 1
    names.remove("odd")
    assert len(names) == 0


@pytest.mark.parametrize("malformed", [{}, {"metadata": {}}, {"metadata": {"name": "a"}, "dockerImageLayers": [7]}])
def test_an_image_that_cannot_be_read_is_an_error(malformed: dict[str, Any]) -> None:
    with pytest.raises(MalformedObjectError, match="what it names is unknown"):
        Tripwire().image(malformed)


NUMBERS = st.integers(0, 8)
STEPS = st.one_of(
    st.tuples(st.just("blob"), NUMBERS),
    st.tuples(st.just("image"), NUMBERS, st.lists(NUMBERS, max_size=3)),
    st.tuples(st.just("gone"), NUMBERS),
    st.just(("list anew",)),
)


@given(st.lists(STEPS, max_size=30))
def test_in_any_order_it_finds_what_a_look_at_everything_finds(steps: list[Any]) -> None:
    tripwire, images, blobs = Tripwire(), dict[str, dict[str, Any]](), set[str]()
    for step, *arguments in steps:
        if step == "blob":
            name = blob(arguments[0])
            blobs.add(name)
            naming = {each for each, made in images.items() if name in _named(made)}
            trip = tripwire.blob(name)
            assert set(trip.images if trip else ()) <= naming
            assert bool(trip) is bool(naming)
        elif step == "image":
            made = image(100 + arguments[0], *arguments[1])
            images[made["metadata"]["name"]] = made
            assert bool(tripwire.image(made)) is bool(_named(made) & blobs)
        elif step == "gone":
            images.pop(blob(100 + arguments[0]), None)
            tripwire.image_gone(blob(100 + arguments[0]))
        else:
            tripwire.list_anew()
            for made in images.values():
                tripwire.image(made)
            tripwire.all_listed()
        assert tripwire.images == len(images)


def _named(made: dict[str, Any]) -> set[str]:
    return {made["metadata"]["name"], *(layer["name"] for layer in made["dockerImageLayers"])}


def test_what_changes_all_the_time_is_listed_anew_before_it_takes_too_much() -> None:
    tripwire = Tripwire()
    for _ in range(1002):
        assert not tripwire.worn
        tripwire.image(image(1000, 1))
    assert tripwire.worn


def test_the_alert_names_blob_role_image_tags_and_what_to_do() -> None:
    known = audit({bytes.fromhex(blob(1)[7:])}, [image(1000, 1)]).with_tags({blob(1000): ("shop/app:v1",)})
    text = Tripped.of(Trip(blob(1), (blob(1000),)), known).text()
    for part in (f"{blob(1)} is the layer of Image {blob(1000)}", "shop/app:v1", "push or import", "Pause this DAG"):
        assert part in text
    assert blob(1000) in Tripped.of(Trip(blob(1), (blob(1000),))).text(), "also where nothing more is known"


def test_many_images_and_blobs_fit_into_a_triggerer() -> None:
    program = (
        "import hashlib\n"
        "from include.registry_prune.deletion.tripwire import Tripwire\n"
        "status = lambda: open('/proc/self/status').read()\n"
        "peak = lambda: int(status().partition('VmHWM:')[2].split()[0]) / 1024\n"
        "digest = lambda kind, number: 'sha256:' + hashlib.sha256(b'%s %d' % (kind, number)).hexdigest()\n"
        "before, tripwire = peak(), Tripwire()\n"
        "for n in range(20_000):\n"
        "    layers = [{'name': digest(b'layer', 8 * n + place)} for place in range(8)]\n"
        "    tripwire.image({'metadata': {'name': digest(b'image', n)}, 'dockerImageLayers': layers,\n"
        "                    'dockerImageMetadata': {'Id': digest(b'config', n)}})\n"
        "for n in range(200_000): assert tripwire.blob(digest(b'orphan', n)) is None\n"
        "assert tripwire.blob(digest(b'layer', 77)) is not None\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert float(done.stdout) < 32, "MiB"


def test_only_a_few_of_many_images_are_named() -> None:
    tripwire = Tripwire()
    for number in range(20):
        tripwire.image(image(1000 + number, 1))
    trip = tripwire.blob(blob(1))
    assert trip is not None
    assert len(trip.images) == module.NAMED_IMAGES
