"""How hard the property tests try: HYPOTHESIS_PROFILE=thorough for a night's run."""

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
    """A share of the examples of the profile: for tests that are cheap or dear."""
    profile = settings()
    return settings(profile, max_examples=max(5, round(profile.max_examples * share)))
