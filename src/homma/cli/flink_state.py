"""What Flink's state belongs to, and where its newest checkpoint is.

Flink's state is in its checkpoints. Beside them stands what they belong to: the topic of ticks, by
its id, the price, and the form of the SQL, which another version of homma may have in another way.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from homma.aggregate import views
from homma.aggregate.flink import Job, place_of
from homma.errors import SettingError, StateError
from homma.settings import EngineSettings, FlinkSettings
from homma.topics.contract import Topics
from homma.topics.kafka.admin import Admin
from homma.topics.kafka.connection import Connection
from homma.topics.kafka.reading import GroupReader, Range, Reader

_SESSION_MS: Final = 6_000
_PATIENCE_S: Final = 30.0
#: So far before a partition's end its last record is looked for.
_BACK: Final = 100
_METADATA: Final = "_metadata"


def home_of(engine: EngineSettings, group: str, ticks: str) -> Path:
    """The folder of one job's data."""
    return engine.dir.absolute() / "flink" / f"{group}-{ticks}"


def checkpoints_uri(flink: FlinkSettings, engine: EngineSettings, group: str, ticks: str) -> str:
    """Where one job's state goes, as Flink takes it."""
    given = flink.checkpoints
    if not given:
        if engine.jobmanager:
            raise SettingError(
                "a cluster's checkpoints need a place that all of it reaches",
                "name it by --checkpoints, such as s3://bucket/flink",
            )
        return (home_of(engine, group, ticks) / "checkpoints").as_uri()
    place = given if "://" in given else Path(given).absolute().as_uri()
    return place_of(place, group, ticks)


@dataclass(frozen=True, slots=True)
class StateOrigin:
    """What the state belongs to."""

    topicId: str  # noqa: N815  as in the marks of homma's own engine
    price: str
    sql: str


class Ticks:
    """The topic of ticks and the group that reads it, looked at from outside."""

    def __init__(self, kafka: Connection, topics: Topics, group: str) -> None:
        self._kafka = kafka
        self._topics = topics
        self._group = group
        self._admin = Admin(kafka)
        self._partitions = self._admin.require(topics.ticks)
        self._reader = Reader(kafka)
        self._offsets = GroupReader(kafka, group, topics.ticks, _SESSION_MS)

    def basis(self, price: str) -> StateOrigin:
        """What candles made now would belong to."""
        return StateOrigin(self._admin.topic_id(self._topics.ticks) or "", price, views.form())

    def forget(self) -> None:
        """Have the group begin anew."""
        self._admin.forget_group(self._group)

    def must_be_new(self, *, begun: bool) -> None:
        """Refuse where an engine has been at work whose state is not here.

        `begun`: this one was, but has not come as far as a checkpoint, nor to committing offsets.
        """
        committed = [self._offsets.committed(p) is not None for p in range(self._partitions)]
        written = not begun and any(
            self._reader.kept(topic, p).end
            for topic in self._topics.candles
            for p in range(self._partitions)
        )
        if any(committed) or written:
            what = "candles" if written else "an offset"
            raise StateError(
                f"there are {what} of group {self._group} and {self._topics.ticks}, and no "
                "checkpoint of Flink's here",
                "start with --rebuild to make the candles anew of the oldest tick kept, or name "
                "the --dir that has the checkpoints",
            )

    def until_end(self) -> Callable[[], bool]:
        """What says whether the ticks that are there now are in the candles."""
        ends = {p: self._last(p) for p in range(self._partitions)}

        def worked_off() -> bool:
            found = {p: self._offsets.committed(p) for p in ends}
            return all(
                end == 0 or (at is not None and at.offset >= end)
                for at, end in ((found[p], end) for p, end in ends.items())
            )

        return worked_off

    def _last(self, partition: int) -> int:
        """The offset after the last record: transactions leave marks beyond it."""
        kept = self._reader.kept(self._topics.ticks, partition)
        wanted = {self._topics.ticks: Range(max(kept.start, kept.end - _BACK), kept.end)}
        last = 0
        for batch in self._reader.read(partition, wanted, _PATIENCE_S):
            last = max(last, *((message.offset() or 0) + 1 for message in batch))
        return last

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()
        self._offsets.close()


def begin(home: Path, job: Job, ticks: Ticks, checkpoint: str | None) -> None:
    """Make sure that state, ticks and settings belong together, and write down what does."""
    path, basis = home / "basis.json", ticks.basis(job.settings.price)
    if job.settings.rebuild:
        if lies_here(job.checkpoints):
            shutil.rmtree(path_of(job.checkpoints), ignore_errors=True)
        (home / "checkpoint").unlink(missing_ok=True)
        ticks.forget()
    elif checkpoint is None:
        ticks.must_be_new(begun=path.exists())
    elif path.exists():
        _must_match(json.loads(path.read_text(encoding="utf-8")), basis, job)
    path.write_text(json.dumps(asdict(basis)), encoding="utf-8")


def _must_match(found: Mapping[str, str], basis: StateOrigin, job: Job) -> None:
    if found["price"] != basis.price:
        raise StateError(
            f"the candles are made of {found['price']}, and --price says {basis.price}",
            f"use --price {found['price']}, or start with --rebuild",
        )
    if found["topicId"] != basis.topicId:
        raise StateError(
            f"topic {job.topics.ticks} has been deleted and made again since the last checkpoint",
            "start with --rebuild",
        )
    if found.get("sql") != basis.sql:
        raise StateError(
            "the checkpoints are another version of homma's, whose state this one cannot take over",
            "start with --rebuild to make the candles anew, or go on with that version",
        )


def newest_checkpoint(checkpoints: Path) -> str | None:
    """The newest complete checkpoint or savepoint below a folder, as Flink takes it."""
    complete = [
        *checkpoints.glob(f"*/chk-*/{_METADATA}"),
        *checkpoints.glob(f"savepoint-*/{_METADATA}"),
    ]
    newest = max(complete, key=lambda path: path.stat().st_mtime_ns, default=None)
    return None if newest is None else newest.parent.as_uri()


def lies_here(uri: str) -> bool:
    """Whether it is a folder, which can be looked into from here if it is shared."""
    return uri.startswith("file:")


def path_of(uri: str) -> Path:
    """The folder that a file URI names."""
    return Path(unquote(urlsplit(uri).path))


def note(home: Path, path: str) -> None:
    """Keep in mind where a cluster's newest checkpoint is."""
    (home / "checkpoint").write_text(path, encoding="utf-8")


def noted(home: Path) -> str | None:
    """What was noted last."""
    try:
        return (home / "checkpoint").read_text(encoding="utf-8") or None
    except FileNotFoundError:
        return None
