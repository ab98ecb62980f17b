"""The former names of settings, so that the error for a former name gives the current one.

A former name is an error as a flag, as a variable and in homma.toml. No other module knows these
names.
"""

from typing import Final

#: The current name of each setting by its former name.
RENAMED: Final = {
    "lateness": "watermark_delay",
    "correct_for": "allowed_lateness",
    "idle_after": "idle_timeout",
    "tidy_every": "maintain_every",
    "keep_files": "orphan_retention",
    "keep": "keep_candles",
    "slow_after": "stream_timeout",
    "dedupe_for": "dedupe_ttl",
    "keep_for": "state_retention",
    "broken": "invalid",
    "skip_bad_rows": "skip_invalid_rows",
}


def flag_of(name: str) -> str:
    """Return the flag of a setting."""
    return "--" + name.replace("_", "-")


def current_flag(flag: str) -> str | None:
    """Return the flag that replaces a former one, or None if the flag was never renamed."""
    flags = {flag_of(former): flag_of(current) for former, current in RENAMED.items()}
    return flags.get(flag)
