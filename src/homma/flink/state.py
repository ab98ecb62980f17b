"""The origin of Flink's state, and the path of its newest checkpoint.

Flink's state is in its checkpoints. A file next to them records their origin: the id of the tick
topic, the price, which prices are valid, the intervals, and a hash of the SQL, which may differ in
another version of homma.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from homma.core.fields import Prices
from homma.core.tick import Price, kind_of
from homma.errors import SettingError, StateError
from homma.flink import views
from homma.flink.sql import Job, state_folder
from homma.formats import CURRENT, FORMAT, format_of
from homma.settings import AggregateSettings, EngineSettings, FlinkSettings
from homma.topics.contract import Topics
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.identity import TopicState, topic_state
from homma.topics.kafka.reading import GroupOffsets, Range, Reader
from homma.topics.offset_metadata import read_offset_metadata

#: The last record of a partition is searched for among this many offsets before its end.
_TAIL_OFFSETS: Final = 100
_METADATA: Final = "_metadata"


def home_of(engine: EngineSettings, group: str, ticks: str) -> Path:
    """Return the folder of a job's data."""
    return engine.dir.absolute() / "flink" / f"{group}-{ticks}"


def checkpoints_uri(flink: FlinkSettings, engine: EngineSettings, group: str, ticks: str) -> str:
    """Return the URI of the folder of a job's state."""
    root = flink.checkpoints
    if not root:
        if engine.jobmanager:
            raise SettingError(
                "a cluster needs a folder for checkpoints that all its machines can reach",
                "specify the folder with --checkpoints, such as s3://bucket/flink",
            )
        return (home_of(engine, group, ticks) / "checkpoints").as_uri()
    uri = root if "://" in root else Path(root).absolute().as_uri()
    return state_folder(uri, group, ticks)


@dataclass(frozen=True, slots=True)
class StateOrigin:
    """The topic, prices, intervals and SQL that Flink's state was built with."""

    topicId: str  # noqa: N815  as in the offset metadata of homma's own engine
    price: Price
    intervals: str
    sql: str
    prices: Prices = "positive"
    format: int = CURRENT


class TickGroup:
    """The tick topic, and the offsets that Flink commits for its group."""

    def __init__(self, connection: Connection, topics: Topics, group: str) -> None:
        self._topics = topics
        self._group = group
        self._admin = Admin(connection)
        self._partitions = self._admin.require(topics.ticks)
        self._reader = Reader(connection)
        self._offsets = GroupOffsets(connection, group, topics.ticks)

    def origin(self, settings: AggregateSettings) -> StateOrigin:
        """Return the origin of a state that is built now."""
        topic_id, calendar = self._admin.topic_id(self._topics.ticks), self._topics.calendar
        sql = views.sql_hash(calendar, kind_of(settings.price))
        return StateOrigin(topic_id or "", settings.price, str(calendar), sql, settings.prices)

    def committed_prices(self) -> set[Price]:
        """Return the prices of the candles that homma's own engine has built in this group."""
        committed = (self._offsets.committed(p) for p in range(self._partitions))
        # Flink commits offsets without metadata.
        texts = [offset.metadata for offset in committed if offset is not None and offset.metadata]
        return {read_offset_metadata(text, self._topics.ticks).price for text in texts}

    def delete_offsets(self) -> None:
        """Delete the group, so that it starts again from the oldest tick."""
        self._admin.delete_group(self._group)

    def must_be_new(self, *, was_started: bool) -> None:
        """Raise StateError if an engine has run whose state is not here.

        `was_started`: this engine has, but without reaching a checkpoint or committing offsets.
        """
        committed = [self._offsets.committed(p) is not None for p in range(self._partitions)]
        written = not was_started and any(
            self._reader.offset_range(topic, p).end
            for topic in self._topics.candles.values()
            for p in range(self._partitions)
        )
        if any(committed) or written:
            output = (
                f"the topics of the candles built from {self._topics.ticks} are not empty"
                if written
                else f"group {self._group} has already committed an offset for {self._topics.ticks}"
            )
            raise StateError(
                f"{output}, but there is no Flink checkpoint to continue from",
                "start with --rebuild to build all candles again from the oldest tick in Kafka, "
                "or use the --dir with the checkpoints",
            )

    def until_end(self) -> Callable[[], bool]:
        """Return a function that tells whether the ticks that exist now are in the candles."""
        ends = {p: self._last(p) for p in range(self._partitions)}

        def is_done() -> bool:
            committed = {p: self._offsets.committed(p) for p in ends}
            return all(
                end == 0 or (position is not None and position.offset >= end)
                for position, end in ((committed[p], end) for p, end in ends.items())
            )

        return is_done

    def _last(self, partition: int) -> int:
        """Return the offset after the last record, which transaction markers may follow."""
        available = self._reader.offset_range(self._topics.ticks, partition)
        ranges = {
            self._topics.ticks: Range(
                max(available.start, available.end - _TAIL_OFFSETS), available.end
            )
        }
        last = 0
        for batch in self._reader.read(partition, ranges):
            last = max(last, *((message.offset() or 0) + 1 for message in batch))
        return last

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()
        self._offsets.close()


def prepare_state(home: Path, job: Job, ticks: TickGroup, checkpoint: str | None) -> None:
    """Check that state, ticks and settings belong together, and store the origin."""
    path, origin = home / "basis.json", ticks.origin(job.settings)
    if job.settings.rebuild:
        if path.exists():
            _must_be_of_kind(json.loads(path.read_text(encoding="utf-8"))["price"], origin)
        for price in ticks.committed_prices():
            _must_be_of_kind(price, origin)
        if is_local(job.checkpoints):
            shutil.rmtree(path_of(job.checkpoints), ignore_errors=True)
        (home / "checkpoint").unlink(missing_ok=True)
        ticks.delete_offsets()
    elif checkpoint is None:
        ticks.must_be_new(was_started=path.exists())
    elif path.exists():
        _must_match(json.loads(path.read_text(encoding="utf-8")), origin, job)
    path.write_text(json.dumps(asdict(origin)), encoding="utf-8")


def _must_be_of_kind(price: Price, origin: StateOrigin) -> None:
    """Raise StateError if candles of trades would take the place of those of quotes, or vice versa.

    Candles that are not built again would stay.
    """
    if kind_of(price) != kind_of(origin.price):
        raise StateError(
            f"the candles are built from {price}, but --price is {origin.price}",
            f"use --price {price}, or other topics, another --group and another "
            "--namespace, as candles of trades and of quotes cannot share them",
        )


def _must_match(stored: Mapping[str, Any], origin: StateOrigin, job: Job) -> None:
    format_of(stored.get(FORMAT, 1), "Flink's state")
    _must_be_of_kind(stored["price"], origin)
    if stored["price"] != origin.price:
        raise StateError(
            f"the candles are built from {stored['price']}, but --price is {origin.price}",
            f"use --price {stored['price']}, or start with --rebuild",
        )
    prices = stored.get("prices", "positive")
    if prices != origin.prices:
        raise StateError(
            f"the candles are built with --prices {prices}, but --prices is {origin.prices}",
            f"use --prices {prices}, or start with --rebuild",
        )
    if topic_state(stored["topicId"], origin.topicId) is not TopicState.SAME:
        raise StateError(
            f"topic {job.topics.ticks} was deleted and created again after the last checkpoint",
            "start with --rebuild",
        )
    intervals = stored.get("intervals", origin.intervals)
    if intervals != origin.intervals:
        raise StateError(
            f"the checkpoints have the intervals {intervals}, but --intervals is "
            f"{origin.intervals}: Flink's SQL and its state depend on the intervals",
            f"use --intervals {intervals}, or start with --rebuild to build the candles of all "
            "intervals again from the oldest tick in Kafka",
        )
    if stored.get("sql") != origin.sql:
        raise StateError(
            "the checkpoints are from another version of homma, and this version cannot use them",
            "start with --rebuild to build all candles again, or use that version",
        )


def newest_checkpoint(checkpoints: Path) -> str | None:
    """Return the URI of the newest complete checkpoint or savepoint below a folder."""
    complete = [
        *checkpoints.glob(f"*/chk-*/{_METADATA}"),
        *checkpoints.glob(f"savepoint-*/{_METADATA}"),
    ]
    newest = max(complete, key=lambda path: path.stat().st_mtime_ns, default=None)
    return None if newest is None else newest.parent.as_uri()


def is_local(uri: str) -> bool:
    """Whether a URI is that of a folder on this machine."""
    return uri.startswith("file:")


def path_of(uri: str) -> Path:
    """Return the folder of a file URI."""
    return Path(unquote(urlsplit(uri).path))


def store_checkpoint(home: Path, path: str) -> None:
    """Store the path of a cluster's newest checkpoint."""
    (home / "checkpoint").write_text(path, encoding="utf-8")


def stored_checkpoint(home: Path) -> str | None:
    """Return the path that was stored last."""
    try:
        return (home / "checkpoint").read_text(encoding="utf-8") or None
    except FileNotFoundError:
        return None
