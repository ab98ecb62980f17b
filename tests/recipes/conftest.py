import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from homma.core.calendar import calendar_of
from tests.recipes.installation import AFTER, BEFORE, DAY, Installation
from tests.support.homma_copy import NEW_FIELD, HommaCopy, copy_homma, copy_project
from tests.support.pipeline import Pipeline, tick
from tests.support.sinks import Sinks
from tests.support.weed import Weed


@pytest.fixture(scope="session")
def homma_copy(tmp_path_factory: pytest.TempPathFactory) -> HommaCopy:
    """The source with one more field of a candle."""
    return copy_homma(tmp_path_factory.mktemp("copy"), NEW_FIELD)


@pytest.fixture
def project(tmp_path: Path) -> HommaCopy:
    """The project, to be changed as a recipe says."""
    return copy_project(tmp_path / "project")


def install(bootstrap: str, server: Weed, homma_copy: HommaCopy, folder: Path) -> Installation:
    """Topics and a namespace of their own, both empty."""
    sinks = Sinks(
        Pipeline(bootstrap, partitions=2), server.properties, "n" + uuid.uuid4().hex[:10], folder
    )
    return Installation(sinks, replace(homma_copy, variables=server.environment))


@pytest.fixture
def installed(bootstrap: str, server: Weed, homma_copy: HommaCopy, tmp_path: Path) -> Installation:
    """An empty installation."""
    return install(bootstrap, server, homma_copy, tmp_path)


@pytest.fixture(scope="session")
def upgraded(
    bootstrap: str, server: Weed, homma_copy: HommaCopy, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """Candles and tables without the new field, continued by the copy with other intervals."""
    installation = install(bootstrap, server, homma_copy, tmp_path_factory.mktemp("upgraded"))
    pipeline = installation.pipeline
    ticks = [
        tick(f"{DAY}{12 + n // 60}:{n % 60:02}:1{n % 10}", 1 + n % 7, n, symbol=f"S{n % 2}")
        for n in range(240)
    ]
    pipeline.choose(calendar_of(BEFORE))
    pipeline.send(*ticks[:120])
    pipeline.work_off()
    installation.sinks.work_off()
    pipeline.choose(calendar_of(AFTER))
    pipeline.send(*ticks[120:])
    installation.work_off()
    return installation
