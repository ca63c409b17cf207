"""One profile for all properties: no deadline, as a slow machine is no failure; the same examples in every run."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.fuzz.effort import examples

settings.register_profile(
    "tokenguard",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=examples(300),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tokenguard")
