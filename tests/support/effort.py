"""The number of examples of property tests; HYPOTHESIS_PROFILE=thorough for a nightly run."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "quick", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "thorough", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def effort(share: float = 1.0) -> settings:
    """A multiple of the profile's examples, for tests that are cheap or expensive."""
    profile = settings()
    return settings(profile, max_examples=max(5, round(profile.max_examples * share)))
