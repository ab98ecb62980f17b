"""The metrics of a running stage, as its port serves them."""

import urllib.error
import urllib.request
from typing import Final

_HOST: Final = "127.0.0.1"


def scrape(port: int) -> dict[str, float] | None:
    """Return the metrics of a stage by name, summed over labels; None if it does not answer."""
    # This import takes longer than the request.
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    try:
        with urllib.request.urlopen(f"http://{_HOST}:{port}/metrics", timeout=1) as response:
            text = response.read().decode()
    except (urllib.error.URLError, OSError):
        return None
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums
