"""Intervals as they are typed."""

from homma.core.interval import BY_CODE, Interval
from homma.errors import SettingError


def of_code(code: str) -> Interval:
    """The interval of a code; SettingError where there is none."""
    if code not in BY_CODE:
        raise SettingError(
            f"{code} is no interval",
            f"choose one of {' '.join(BY_CODE)} (m1 is a minute, M1 a month)",
        )
    return BY_CODE[code]
