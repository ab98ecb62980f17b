"""The Trino of `homma up --with trino`: its archive, its settings, and how it reaches the lake."""

import shutil
from collections.abc import Callable
from pathlib import Path

from homma.core.calendar import DEFAULT_CALENDAR, Calendar
from homma.core.fields import Prices
from homma.rendered.trino import files
from homma.settings import PriceSettings, UpSettings
from homma.stack.downloads import archive
from homma.stack.servers import trino
from homma.stack.servers.credentials import ensure_credentials
from homma.stack.servers.seaweed import Seaweed
from homma.stack.servers.seaweed_settings import BUCKET, REGION


def fetch(up: UpSettings, on_fetch: Callable[[int, int], None]) -> Path:
    """Return the folder of the unpacked archive; download it if it is missing."""
    lock = archive.read_archive("trino")
    return archive.ensure_unpacked(lock, up.cache.expanduser(), on_fetch, up.maven)


def of(
    up: UpSettings,
    calendar: Calendar,
    prices: Prices,
    lake: Seaweed,
    bootstrap: str,
    server: Path,
) -> trino.Node:
    """Return a Trino on the lake and the topics."""
    login = ensure_credentials(up.dir)
    environment = trino.lake_environment(
        {
            "uri": lake.catalog,
            "warehouse": f"s3://{BUCKET}",
            "s3.endpoint": lake.s3,
            "s3.region": REGION,
            "s3.access-key-id": login.access_key,
            "s3.secret-access-key": login.secret_key,
        }
    )
    environment |= {"HOMMA_BOOTSTRAP_SERVERS": bootstrap}
    settings = _settings(up.dir / "trino-settings", calendar, prices)
    return trino.Node(up.dir / "trino", up.trino_port, server, settings, environment)


def _settings(target: Path, calendar: Calendar, prices: Prices) -> Path:
    """Return the folder of Trino's settings; other settings than the defaults get a copy."""
    if calendar == DEFAULT_CALENDAR and prices == PriceSettings().prices:
        return trino.settings_folder()
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(trino.settings_folder(), target, ignore=shutil.ignore_patterns("*.json"))
    for name, text in files(calendar, prices).items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return target
