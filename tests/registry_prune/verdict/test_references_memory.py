"""The audit of a great registry fits into a worker: a million candidates, fifty thousand Images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[3]
CANDIDATES, IMAGES, LAYERS = 1_000_000, 50_000, 12
LIMIT_KIB = 512 * 1024

# A process of its own, so that its peak is the audit's (ru_maxrss begins with that of whoever started it). The Images
# come as JSON, as from the API.
PROGRAM = f"""
import hashlib, json
from pathlib import Path
from include.registry_prune.lists.digests import DigestSet
from include.registry_prune.verdict.references import audit

def digest(number):
    return hashlib.sha256(b"%d" % number).digest()

def image(number):
    first = 10_000_000 + number * {LAYERS}
    names = ["sha256:" + digest(first + place).hex() for place in range({LAYERS})]
    layers = [{{"name": name, "size": 1, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}} for name in names]
    return json.dumps({{
        "metadata": {{"name": names[0], "annotations": {{"openshift.io/image.managed": "true"}}}},
        "dockerImageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
        "dockerImageMetadata": {{"Id": names[1]}},
        "dockerImageLayers": layers[2:],
        "padding": "x" * 8_000,
    }})

candidates = DigestSet()
for number in range({CANDIDATES}):
    candidates.add_packed(digest(number))
found = audit(candidates, (json.loads(image(number)) for number in range({IMAGES})))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0])
print(json.dumps([found.candidates, found.images, found.stored_references, found.hit_count, peak]))
"""


def test_a_million_candidates_and_fifty_thousand_images_take_less_than_512_mib() -> None:
    """Guards the bound: candidates of 32 bytes, Images one after the other, what they name counted compactly."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT, capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stderr
    candidates, images, stored, hits, peak_kib = json.loads(done.stdout)
    assert (candidates, images, stored, hits) == (CANDIDATES, IMAGES, IMAGES * LAYERS, 0)
    assert peak_kib < LIMIT_KIB
