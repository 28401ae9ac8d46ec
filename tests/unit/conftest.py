"""What the tests of the pure modules share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The same examples in every run, and bounded by their number, not by the speed of the machine: a test that fails is
# no accident. To search further: pytest tests/unit --hypothesis-profile=search.
settings.register_profile("unit", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("search", max_examples=3000, deadline=None)
settings.register_profile("fuzz", max_examples=8_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")
