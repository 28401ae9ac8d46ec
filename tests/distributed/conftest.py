"""These tests belong to `make distributed`, whose virtual environment has Celery; elsewhere there are none."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("celery") else ["test_*.py"]
