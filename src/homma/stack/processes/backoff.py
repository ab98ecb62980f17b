"""When to restart a crashed process."""

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Delays that double from `first_s` to `most_s`, for at most `attempts` crashes in a row.

    After a run of at least `healthy_s` the count starts again. All times are in seconds.
    """

    first_s: float = 0.5
    most_s: float = 30.0
    healthy_s: float = 60.0
    attempts: int = 10
    failures: int = 0

    def after(self, ran_s: float) -> float | None:
        """Return the delay in seconds after a run of `ran_s` that crashed; None: give up."""
        if ran_s >= self.healthy_s:
            self.failures = 0
        if self.failures >= self.attempts:
            return None
        self.failures += 1
        return min(self.most_s, self.first_s * 2.0 ** (self.failures - 1))
