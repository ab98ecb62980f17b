"""The same candles from Apache Flink: from the table of intervals and the settings to SQL. Pure.

    ticks → valid → clocked → counted → parts → minutes, 5 minutes, … week, month
                        └→ late

One statement set, so that the ticks are read once. A tick's **place** is a text of fixed width,
its dateTime, its number, and then the price: MIN and MAX of it are open and close by event time,
where FIRST_VALUE and LAST_VALUE would go by arrival. Starts of intervals are texts too, as they
stand in the records: what Flink groups by is then the key of its sinks to the letter.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from homma.aggregate.sql import interval_literal, milliseconds, quoted
from homma.core.interval import DAY_US, FINEST, INTERVALS, MINUTE_US, Interval
from homma.durations import duration_text
from homma.errors import SettingError
from homma.settings import AggregateSettings, FlinkSettings
from homma.topics.contract import Topics

#: Where the packages of Kafka's clients are in Flink's connector.
SHADED: Final = "org.apache.flink.kafka.shaded."
#: The longest that a broker allows unless told otherwise. What a crash leaves open longer is lost.
TRANSACTION_TIMEOUT_MS: Final = 900_000
#: So many records at most wait for the next emission: more than any machine reads meanwhile.
_BATCH: Final = 1_000_000
_NAME: Final = r'^[^\p{Cc}"\\{}\[\]]{1,64}\z'
_INSTANT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?Z?\z"
_LARGEST: Final = "1.7976931348623157E308"
# Where in a place the number and the price begin.
_NUMBER_AT: Final = 27
_PRICE_AT: Final = 46
_STARTS: Final = ", ".join(f"`{interval.name}`" for interval in INTERVALS)


@dataclass(frozen=True, slots=True)
class Job:
    """What the SQL is made from.

    `client` are the properties of Kafka's Java clients, `checkpoints` is a URI, and `restore` the
    checkpoint to go on from, if any.
    """

    topics: Topics
    settings: AggregateSettings
    flink: FlinkSettings
    client: Mapping[str, str]
    checkpoints: str
    restore: str | None = None

    def __post_init__(self) -> None:
        """Refuse settings by which ticks would count twice, or that Flink cannot keep to."""
        if self.flink.dedupe_for < self.settings.correct_for:
            raise SettingError(
                f"dedupe_for is {duration_text(self.flink.dedupe_for)}, less than correct_for "
                f"({duration_text(self.settings.correct_for)})",
                "give it more: a copy may come as late as any tick",
            )
        if self.settings.rekey:
            raise SettingError("Flink does not need --rekey", "leave it out: it keys by itself")

    @property
    def name(self) -> str:
        """What the job is called in Flink."""
        return f"homma {self.settings.group} {self.topics.ticks}"


def place_of(checkpoints: str, group: str, ticks: str) -> str:
    """Where one job's state goes: jobs that share a place must not go on from one another's."""
    return f"{checkpoints.rstrip('/')}/{group}-{ticks}"


def script(job: Job) -> str:
    """The whole of it, as `sql-client.sh -f` takes it."""
    parts = [
        *(f"SET {quoted(name)} = {quoted(value)};" for name, value in options(job).items()),
        "",
        *(f"{statement};\n" for statement in definitions(job)),
        inserts(job) + ";",
    ]
    return "\n".join(parts) + "\n"


def options(job: Job) -> dict[str, str]:
    """Flink's own settings."""
    found = {
        "pipeline.name": job.name,
        "parallelism.default": str(job.flink.parallelism),
        # Instants are UTC wherever it runs.
        "table.local-time-zone": "UTC",
        "table.exec.state.ttl": milliseconds(job.flink.dedupe_for),
        # What has changed is written every `emit_every`, each candle once.
        "table.exec.mini-batch.enabled": "true",
        "table.exec.mini-batch.allow-latency": milliseconds(job.settings.emit_every),
        "table.exec.mini-batch.size": str(_BATCH),
        # Rows are handed on as they are, not copied for each of eleven intervals.
        "pipeline.object-reuse": "true",
        "state.backend.type": job.flink.state_backend,
        # Nearly every tick is new: that it was not there before is told without a look at the disk.
        "state.backend.rocksdb.use-bloom-filter": "true",
        "execution.checkpointing.interval": milliseconds(job.flink.checkpoint_every),
        "execution.checkpointing.dir": job.checkpoints,
        "execution.checkpointing.savepoint-dir": job.checkpoints,
        "execution.checkpointing.incremental": "true",
        "execution.checkpointing.num-retained": "2",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.tolerable-failed-checkpoints": "10",
        "restart-strategy.type": "exponential-delay",
    }
    if job.restore is not None:
        found["execution.state-recovery.path"] = job.restore
        # Flink deletes it once it has newer ones of its own.
        found["execution.state-recovery.claim-mode"] = "CLAIM"
    return found


def definitions(job: Job) -> Iterator[str]:
    """Tables and views, each after those that it reads."""
    yield _ticks(job)
    yield _late(job)
    for interval, topic in zip(INTERVALS, job.topics.candles, strict=True):
        yield _candles(job, interval, topic)
    yield valid_view(job)
    yield clocked_view()
    yield counted_view(job)
    yield parts_view(job)
    for interval in INTERVALS:
        yield candle_view(job, interval)


def inserts(job: Job) -> str:
    """The one statement that runs."""
    statements = [_insert_late(job), *(insert(interval) for interval in INTERVALS)]
    return "\n".join(["EXECUTE STATEMENT SET BEGIN", *(f"{s};" for s in statements), "END"])


def start(interval: Interval, at: str) -> str:
    """SQL for the start of an interval, a text, of the text of an instant in it."""
    minutes = interval.longest_us // MINUTE_US
    if interval.longest_us > 7 * DAY_US:
        return f"SUBSTRING({at} FROM 1 FOR 7) || '-01T00:00:00.000'"
    if interval.longest_us > DAY_US:
        # Days since a Monday before all ticks.
        day = f"CAST(SUBSTRING({at} FROM 1 FOR 10) AS DATE)"
        since = f"MOD(TIMESTAMPDIFF(DAY, DATE '1969-12-29', {day}), 7)"
        return f"CAST(TIMESTAMPADD(DAY, -{since}, {day}) AS STRING) || 'T00:00:00.000'"
    if interval.longest_us == DAY_US:
        return f"SUBSTRING({at} FROM 1 FOR 10) || 'T00:00:00.000'"
    if minutes == 1:
        return f"SUBSTRING({at} FROM 1 FOR 16) || ':00.000'"
    if minutes >= 60:
        return f"SUBSTRING({at} FROM 1 FOR 11) || {_floored(at, 12, minutes // 60)} || ':00:00.000'"
    return f"SUBSTRING({at} FROM 1 FOR 14) || {_floored(at, 15, minutes)} || ':00.000'"


def _floored(at: str, position: int, step: int) -> str:
    """Two digits of a text, down to a multiple of `step`."""
    digits = f"SUBSTRING({at} FROM {position} FOR 2)"
    if step == 1:
        return digits
    number = f"CAST({digits} AS INT)"
    return f"LPAD(CAST({number} - MOD({number}, {step}) AS STRING), 2, '0')"


def _table(name: str, columns: Sequence[str], options: Mapping[str, str]) -> str:
    lines = ",\n".join(f"  {column}" for column in columns)
    told = ",\n".join(f"  {quoted(key)} = {quoted(value)}" for key, value in options.items())
    return f"CREATE TABLE `{name}` (\n{lines}\n) WITH (\n{told}\n)"


def _client(job: Job) -> dict[str, str]:
    return {f"properties.{name}": value for name, value in job.client.items()}


def _ticks(job: Job) -> str:
    columns = [
        "`source` STRING", "`symbol` STRING", "`ask` DOUBLE", "`bid` DOUBLE", "`mid` DOUBLE",
        # As texts, to tell what is absent from what has the wrong type.
        "`askMarkup` STRING", "`bidMarkup` STRING", "`isTradable` STRING",
        "`number` BIGINT", "`dateTime` STRING", "`receiveDateTime` STRING",
        "`recorded` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'",
        "`partition` INT METADATA", "`offset` BIGINT METADATA",
        "`arrived` AS PROCTIME()",
    ]  # fmt: skip
    told = {
        "connector": "kafka",
        "topic": job.topics.ticks,
        **_client(job),
        "properties.group.id": job.settings.group,
        "properties.isolation.level": "read_committed",
        # Where no checkpoint says otherwise: without its state it has to begin at the beginning.
        "scan.startup.mode": "earliest-offset",
        # Partitions that are added would move series away from their state.
        "scan.topic-partition-discovery.interval": "0",
        "format": "json",
        "json.ignore-parse-errors": "true",
    }
    return _table("ticks", columns, told)


def _sink(job: Job, name: str) -> dict[str, str]:
    told = {
        **_client(job),
        "properties.max.request.size": "2097152",
        "sink.delivery-guarantee": job.flink.delivery,
    }
    if job.flink.delivery == "exactly-once":
        told |= {
            "sink.transactional-id-prefix": f"homma-{job.settings.group}-{job.topics.ticks}-{name}",
            "properties.transaction.timeout.ms": str(TRANSACTION_TIMEOUT_MS),
        }
    return told


def _candles(job: Job, interval: Interval, topic: str) -> str:
    columns = [
        "`source` STRING", "`symbol` STRING", "`dateTime` STRING",
        "`open` DOUBLE", "`high` DOUBLE", "`low` DOUBLE", "`close` DOUBLE", "`volume` BIGINT",
        "`openDateTime` STRING", "`openNumber` BIGINT",
        "`closeDateTime` STRING", "`closeNumber` BIGINT",
        "`isFinal` BOOLEAN", "`revision` INT", "`updateDateTime` STRING",
        "PRIMARY KEY (`source`, `symbol`, `dateTime`) NOT ENFORCED",
    ]  # fmt: skip
    told = {
        "connector": "upsert-kafka",
        "topic": topic,
        **_sink(job, interval.name),
        "key.format": "json",
        "value.format": "json",
    }
    return _table(f"candle_{interval.name}", columns, told)


def _late(job: Job) -> str:
    columns = [
        "`key` STRING",
        "`source` STRING", "`symbol` STRING", "`ask` DOUBLE", "`bid` DOUBLE", "`mid` DOUBLE",
        "`askMarkup` DOUBLE", "`bidMarkup` DOUBLE", "`isTradable` BOOLEAN",
        "`number` BIGINT", "`dateTime` STRING", "`receiveDateTime` STRING",
        "`headers` MAP<STRING NOT NULL, BYTES NOT NULL> METADATA",
        "`recorded` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'",
    ]  # fmt: skip
    told = {
        "connector": "kafka",
        "topic": job.topics.late,
        **_sink(job, "late"),
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "json",
        "value.fields-include": "EXCEPT_KEY",
        "value.json.encode.ignore-null-fields": "true",
    }
    return _table("late", columns, told)


def valid_view(job: Job) -> str:
    """The ticks that keep the contract's rules; of the others Flink writes nothing."""
    prices = [f"`{name}` > 0 AND `{name}` <= {_LARGEST}" for name in ("ask", "bid", "mid")]
    markups = [
        f"(`{name}` IS NULL OR ABS(TRY_CAST(`{name}` AS DOUBLE)) <= {_LARGEST})"
        for name in ("askMarkup", "bidMarkup")
    ]
    ahead = interval_literal(job.settings.max_future)
    rules = [
        f"REGEXP(`source`, {quoted(_NAME)})",
        f"REGEXP(`symbol`, {quoted(_NAME)})",
        *prices,
        "`number` >= 0",
        # Flink takes the 30th of February for the 28th: not so, once it has been written again.
        f"REGEXP(`dateTime`, {quoted(_INSTANT)}) AND {_dated('`dateTime`')}",
        f"(`receiveDateTime` IS NULL OR (REGEXP(`receiveDateTime`, {quoted(_INSTANT)}) "
        f"AND {_dated('`receiveDateTime`')}))",
        *markups,
        "(`isTradable` IS NULL OR `isTradable` IN ('true', 'false'))",
        f"`at` <= CAST(`recorded` AS TIMESTAMP(6)) + {ahead}",
    ]
    where = "\n  AND ".join(rules)
    return (
        f"CREATE VIEW `valid` AS\nSELECT *\nFROM (SELECT *, {_instant('`dateTime`')} AS `at` "
        f"FROM `ticks`)\nWHERE {where}"
    )


def _instant(text: str) -> str:
    return f"TRY_CAST(REPLACE(REPLACE({text}, 'T', ' '), 'Z', '') AS TIMESTAMP(6))"


def _dated(text: str) -> str:
    """Whether there is such a date, since 1970."""
    again = f"SUBSTRING(CAST({_instant(text)} AS STRING) FROM 1 FOR 19)"
    return f"{again} = SUBSTRING(REPLACE({text}, 'T', ' ') FROM 1 FOR 19) AND {text} >= '1970'"


def clocked_view() -> str:
    """Each tick with its series' event clock, itself included, in the order of arrival."""
    return (
        "CREATE VIEW `clocked` AS\nSELECT *, MAX(`at`) OVER (PARTITION BY `source`, `symbol` "
        "ORDER BY `arrived`\n  ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS `clock`\n"
        "FROM `valid`"
    )


def _in_time(job: Job) -> str:
    allowed = interval_literal(timedelta(minutes=1) + job.settings.correct_for)
    return f"FLOOR(`at` TO MINUTE) + {allowed} > `clock`"


def counted_view(job: Job) -> str:
    """The ticks in time, of copies the first, with their places and the starts they lie behind."""
    price = f"`{job.settings.price}`"
    place = (
        "REPLACE(CAST(`at` AS STRING), ' ', 'T') || LPAD(CAST(`number` AS STRING), 19, '0')"
        f" || CAST({price} AS STRING)"
    )
    starts = ",\n  ".join(f"{start(i, '`dateTime`')} AS `{i.name}`" for i in INTERVALS)
    # Below the ranking: of what is worked out above it Flink would not know that it never changes.
    placed = (
        f"SELECT `source`, `symbol`, `at`, `number`, `arrived`, {price} AS `price`,\n  {starts},\n"
        f"  {place} AS `place`\n  FROM `clocked` WHERE {_in_time(job)}"
    )
    return (
        f"CREATE VIEW `counted` AS\nSELECT `source`, `symbol`, {_STARTS}, `price`, `place`\n"
        "FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY `source`, `symbol`, `at`, `number`\n"
        f"  ORDER BY `arrived`) AS `copy` FROM ({placed}))\nWHERE `copy` = 1"
    )


def parts_view(job: Job) -> str:
    """The ticks of a minute put together, which all candles are made of.

    Grouped by the starts of all intervals, which says no more than the minute does. But so a candle
    is put together by a plain column, and Flink knows that its high only rises: else it would have
    to keep the values of all parts, and spend most of its time on them.
    """
    aggregates = _aggregates(
        "MIN(`place`)", "MAX(`price`)", "MIN(`price`)", "MAX(`place`)", "COUNT(*)"
    )
    return (
        f"CREATE VIEW `parts` AS\nSELECT {_kept(job, INTERVALS[FINEST])}\n"
        f"  `source`, `symbol`, {_STARTS},\n  {aggregates}\n"
        f"FROM `counted` AS `t`\nGROUP BY `source`, `symbol`, {_STARTS}"
    )


def candle_view(job: Job, interval: Interval) -> str:
    """An interval's candles."""
    aggregates = _aggregates(
        "MIN(`first`)", "MAX(`high`)", "MIN(`low`)", "MAX(`last`)", "SUM(`volume`)"
    )
    return (
        f"CREATE VIEW `candles_{interval.name}` AS\nSELECT {_kept(job, interval)}\n"
        f"  `source`, `symbol`, `{interval.name}` AS `dateTime`,\n  {aggregates}\n"
        f"FROM `parts` AS `t`\nGROUP BY `source`, `symbol`, `{interval.name}`"
    )


def _aggregates(*parts: str) -> str:
    names = ("first", "high", "low", "last", "volume")
    return ", ".join(f"{part} AS `{name}`" for part, name in zip(parts, names, strict=True))


def _kept(job: Job, interval: Interval) -> str:
    return f"/*+ STATE_TTL('t' = {quoted(milliseconds(state_ttl(job, interval)))}) */"


def state_ttl(job: Job, interval: Interval) -> timedelta:
    """How long a candle's state outlives its last change: coarser ones longer than finer ones."""
    length = timedelta(microseconds=interval.longest_us)
    return length + job.settings.correct_for + job.flink.keep_for


def insert(interval: Interval) -> str:
    """What writes an interval's candles: the contract's fields."""

    def tick(place: str, name: str) -> list[str]:
        return [
            f"SUBSTRING(`{place}` FROM 1 FOR {_NUMBER_AT - 1}) AS `{name}DateTime`",
            f"CAST(SUBSTRING(`{place}` FROM {_NUMBER_AT} FOR 19) AS BIGINT) AS `{name}Number`",
        ]

    columns = [
        "`source`", "`symbol`", "`dateTime`",
        f"CAST(SUBSTRING(`first` FROM {_PRICE_AT}) AS DOUBLE) AS `open`", "`high`", "`low`",
        f"CAST(SUBSTRING(`last` FROM {_PRICE_AT}) AS DOUBLE) AS `close`", "`volume`",
        *tick("first", "open"), *tick("last", "close"),
        "CAST(NULL AS BOOLEAN) AS `isFinal`", "CAST(NULL AS INT) AS `revision`",
        "DATE_FORMAT(CURRENT_TIMESTAMP, 'yyyy-MM-dd''T''HH:mm:ss.SSS') || '000' AS "
        "`updateDateTime`",
    ]  # fmt: skip
    listed = ",\n  ".join(columns)
    return f"INSERT INTO `candle_{interval.name}`\nSELECT {listed}\nFROM `candles_{interval.name}`"


def _insert_late(job: Job) -> str:
    headers = ", ".join(
        f"{quoted(name)}, ENCODE({value}, 'UTF-8')"
        for name, value in (
            ("topic", quoted(job.topics.ticks)),
            ("partition", "CAST(`partition` AS STRING)"),
            ("offset", "CAST(`offset` AS STRING)"),
        )
    )
    columns = [
        "`source` || ':' || `symbol`", "`source`", "`symbol`", "`ask`", "`bid`", "`mid`",
        "CAST(`askMarkup` AS DOUBLE)", "CAST(`bidMarkup` AS DOUBLE)",
        "CAST(`isTradable` AS BOOLEAN)", "`number`", "`dateTime`", "`receiveDateTime`",
        f"MAP[{headers}]", "`recorded`",
    ]  # fmt: skip
    listed = ",\n  ".join(columns)
    return f"INSERT INTO `late`\nSELECT {listed}\nFROM `clocked`\nWHERE NOT ({_in_time(job)})"
