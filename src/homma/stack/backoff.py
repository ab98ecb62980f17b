"""When to start a crashed process again."""

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Waits that double from `first_s` to `most_s`; after `attempts` in a row it gives up.

    A process that ran for `healthy_s` has recovered: the count starts anew. All in seconds.
    """

    first_s: float = 0.5
    most_s: float = 30.0
    healthy_s: float = 60.0
    attempts: int = 10
    failures: int = 0

    def after(self, ran_s: float) -> float | None:
        """Give the seconds to wait after a crash that ended a run of `ran_s`; None: give up."""
        if ran_s >= self.healthy_s:
            self.failures = 0
        if self.failures >= self.attempts:
            return None
        self.failures += 1
        return min(self.most_s, self.first_s * 2.0 ** (self.failures - 1))
