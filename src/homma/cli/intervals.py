"""Intervals as users type them."""

from homma.core.interval import BY_CODE, Interval
from homma.errors import SettingError


def parse_interval(code: str) -> Interval:
    """Return the interval of a code; SettingError if there is none."""
    if code not in BY_CODE:
        raise SettingError(
            f"{code} is not an interval",
            f"choose one of {' '.join(BY_CODE)} (m1 is one minute, M1 one month)",
        )
    return BY_CODE[code]
