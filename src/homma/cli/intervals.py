"""Intervals as users type them."""

from homma.core.calendar import Calendar
from homma.core.interval import Interval
from homma.errors import SettingError


def parse_interval(code: str, calendar: Calendar) -> Interval:
    """Return the interval of a code; SettingError if it is not in the calendar."""
    if code not in calendar:
        differ_by_case = " (m1 is one minute, M1 one month)" if "m1" in calendar else ""
        raise SettingError(
            f"{code} is not one of the intervals",
            f"choose one of {' '.join(calendar.codes)}{differ_by_case}, or set --intervals",
        )
    return calendar[code]
