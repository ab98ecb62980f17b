"""The SQL for Flink, generated from the tables of fields and the settings."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from homma.cli.main import homma
from homma.core.calendar import DEFAULT_CALENDAR, Calendar, calendar_of
from homma.core.fields import TICK_FIELDS, record_fields
from homma.core.interval import BY_CODE
from homma.core.tick import Price
from homma.errors import SettingError, StateError
from homma.flink import confluent
from homma.flink.sql import SHADED, Job, options, script
from homma.flink.sql_types import interval_literal
from homma.flink.state import StateOrigin, TickGroup, prepare_state
from homma.flink.views import sql_hash, start, state_ttl
from homma.formats import CURRENT
from homma.rendered import ksqldb
from homma.settings import AggregateSettings, FlinkSettings, TopicSettings
from homma.topics import contract
from homma.topics.java import java_properties

ROOT = Path(__file__).parents[2]


def job(
    settings: AggregateSettings | None = None,
    flink: FlinkSettings | None = None,
    kafka: dict[str, str] | None = None,
    calendar: Calendar = DEFAULT_CALENDAR,
) -> Job:
    return Job(
        topics=contract.topics(TopicSettings(intervals=calendar)),
        settings=settings or AggregateSettings(),
        flink=flink or FlinkSettings(),
        client=java_properties({"bootstrap.servers": "here:9092", **(kafka or {})}, SHADED),
        checkpoints="file:///state",
    )


def test_the_command_prints_the_deployed_sql() -> None:
    flags = ["--bootstrap.servers", "kafka:9092", "--checkpoints", "s3://lake/flink"]
    result = CliRunner().invoke(homma, ["flink", "sql", *flags])
    assert result.exit_code == 0, result.output
    deployed = (ROOT / "deploy/flink/candles.sql").read_text(encoding="utf-8")
    comments, _, text = deployed.partition("SET ")
    assert all(line.startswith("--") for line in comments.splitlines())
    assert result.output == "SET " + text


def test_the_command_prints_the_sql_of_other_intervals() -> None:
    result = CliRunner().invoke(homma, ["flink", "sql", "--intervals", "h2,s10"])
    assert result.exit_code == 0, result.output
    inserted = re.findall(r"^INSERT INTO `(\w+)`", result.output, re.MULTILINE)
    assert inserted == ["late", "candle_10sec", "candle_2hour"]


def view(text: str, name: str) -> str:
    """A statement of the script, without the hint."""
    [statement] = re.findall(rf"CREATE VIEW `{name}` AS\n(.*?);\n", text, re.DOTALL)
    return str(statement)


@pytest.mark.parametrize(
    ("codes", "grouped"),
    [
        ("m1,m5", "`1min`, `5min`"),
        ("s10,m1,h2", "`10sec`, `1min`, `2hour`"),
        # The base is hidden.
        ("m20,m30", "`1min`, `20min`, `30min`"),
        ("s4,s6", "`2sec`, `4sec`, `6sec`"),
    ],
)
def test_parts_are_grouped_by_the_base_and_all_intervals(codes: str, grouped: str) -> None:
    text = script(job(calendar=calendar_of(codes.split(","))))
    assert view(text, "parts").endswith(f"GROUP BY `source`, `symbol`, {grouped}")
    # Ticks are late by their minute, whatever intervals there are.
    assert "FLOOR(`at` TO MINUTE) + INTERVAL '0 00:11:00.000'" in view(text, "counted")


def test_months_have_no_table_unless_they_were_chosen() -> None:
    assert "1month" not in script(job(calendar=calendar_of(["m1"])))


def test_each_table_has_the_fields_in_order() -> None:
    text = script(job())
    for table, fields in (("ticks", TICK_FIELDS), ("candle_1min", record_fields("quote", CURRENT))):
        [columns] = re.findall(rf"CREATE TABLE `{table}` \((.*?)\) WITH", text, re.DOTALL)
        names = re.findall(r"^  `(\w+)`", columns, re.MULTILINE)
        assert names[: len(fields)] == [field.json for field in fields]


#: The functions of SQL that starts below a day use, in Python.
FUNCTIONS = {
    "SUBSTRING": lambda text, at, count: text[at - 1 : at - 1 + count],
    "LPAD": lambda text, width, fill: text.rjust(width, fill),
    "MOD": lambda a, b: a % b,
    "CAST": lambda value, kind: kind(value),
}


def evaluated(sql: str, at: str) -> str:
    """The value of the SQL of a start."""
    code = sql.replace("`dateTime`", repr(at)).replace("||", "+")
    for words, comma in (
        (" FROM ", ","),
        (" FOR ", ","),
        (" AS INT", ",int"),
        (" AS STRING", ",str"),
    ):
        code = code.replace(words, comma)
    return str(eval(code, dict(FUNCTIONS)))


@pytest.mark.parametrize("code", [c for c in BY_CODE if c[0] in "smh" or c == "D1"])
def test_starts_equal_those_of_the_core(code: str) -> None:
    interval = BY_CODE[code]
    texts = ["2025-03-20T23:59:59.999999", "2025-03-20T14:31:28", "2025-03-20T00:00:00.001Z"]
    instants = pl.Series(texts).str.strip_chars_end("Z").str.to_datetime(time_unit="us")
    starts = pl.select(interval.floor(pl.lit(instants).cast(pl.Int64)).cast(pl.Datetime("us")))
    expected = starts.to_series().dt.to_string("%Y-%m-%dT%H:%M:%S%.3f").to_list()
    assert [evaluated(start(interval, "`dateTime`"), text) for text in texts] == expected


def test_the_hash_depends_on_the_intervals() -> None:
    hashes = {
        sql_hash(calendar_of(c.split(",")), "quote") for c in ("m1", "m1,m5", "s1,m1", "m20,m30")
    }
    hashes |= {sql_hash(DEFAULT_CALENDAR, kind) for kind in ("quote", "trade")}
    assert len(hashes) == 6


def test_other_intervals_are_refused_with_a_remedy(tmp_path: Path) -> None:
    ticks = Origins("m1,m5", "hash")
    prepare_state(tmp_path, job(), ticks, "file:///state/chk-1")
    prepare_state(tmp_path, job(), ticks, "file:///state/chk-1")
    with pytest.raises(StateError, match="intervals m1,m5, but --intervals is s10") as raised:
        prepare_state(tmp_path, job(), Origins("s10", "other"), "file:///state/chk-1")
    assert "--rebuild" in str(raised.value.remedy)
    with pytest.raises(StateError, match="another version of homma"):
        prepare_state(tmp_path, job(), Origins("m1,m5", "other"), "file:///state/chk-1")


@pytest.mark.parametrize(
    ("settings", "message", "rebuilds"),
    [
        (AggregateSettings(price="bid"), "built from mid, but --price is bid", True),
        (AggregateSettings(prices="any"), "with --prices positive, but --prices is any", True),
        (AggregateSettings(price="trade"), "built from mid, but --price is trade", False),
    ],
)
def test_state_of_other_prices_is_refused(
    tmp_path: Path, settings: AggregateSettings, message: str, rebuilds: bool
) -> None:
    ticks = Origins("m1", "hash")
    prepare_state(tmp_path, job(), ticks, None)
    with pytest.raises(StateError, match=message) as raised:
        prepare_state(tmp_path, job(settings), ticks, "file:///state/chk-1")
    assert ("--rebuild" in str(raised.value.remedy)) == rebuilds
    rebuild = job(replace(settings, rebuild=True))
    if rebuilds:
        prepare_state(tmp_path, rebuild, ticks, "file:///state/chk-1")
        return
    with pytest.raises(StateError, match=message):
        prepare_state(tmp_path, rebuild, ticks, "file:///state/chk-1")


def test_trades_do_not_take_the_place_of_the_candles_of_hommas_own_engine(tmp_path: Path) -> None:
    ticks = Origins("m1", "hash")
    ticks.committed = {"bid"}
    settings = AggregateSettings(price="trade", rebuild=True)
    with pytest.raises(StateError, match="built from bid, but --price is trade"):
        prepare_state(tmp_path, job(settings), ticks, None)


def test_state_of_a_newer_homma_is_refused(tmp_path: Path) -> None:
    prepare_state(tmp_path, job(), Origins("m1", "newer", CURRENT + 1), None)
    with pytest.raises(StateError, match="was written by a newer homma") as raised:
        prepare_state(tmp_path, job(), Origins("m1", "hash"), "file:///state/chk-1")
    assert "--rebuild" not in str(raised.value)


class Origins(TickGroup):
    """A group of ticks without a broker."""

    def __init__(self, intervals: str, sql: str, version: int = CURRENT) -> None:
        self._origin = StateOrigin("topic", "mid", intervals, sql, format=version)
        self.committed: set[Price] = set()

    def origin(self, settings: AggregateSettings) -> StateOrigin:
        return replace(self._origin, price=settings.price, prices=settings.prices)

    def must_be_new(self, *, was_started: bool) -> None:
        assert not was_started

    def committed_prices(self) -> set[Price]:
        return self.committed

    def delete_offsets(self) -> None:
        pass


def test_a_candle_outlives_its_parts() -> None:
    flink = FlinkSettings()
    ttls = [state_ttl(AggregateSettings(), flink, interval) for interval in DEFAULT_CALENDAR]
    assert ttls == sorted(ttls)
    assert ttls[0] == timedelta(days=1, minutes=11)
    assert ttls[-1] == timedelta(days=32, minutes=10)
    # A late tick may correct an s1 candle as long as one of m1.
    assert state_ttl(AggregateSettings(), flink, BY_CODE["s1"]) == ttls[0]


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (timedelta(minutes=5), "INTERVAL '0 00:05:00.000' DAY TO SECOND(3)"),
        (timedelta(days=3, hours=4, seconds=7.25), "INTERVAL '3 04:00:07.250' DAY TO SECOND(3)"),
    ],
)
def test_durations(value: timedelta, literal: str) -> None:
    assert interval_literal(value) == literal


def test_delivery_setting() -> None:
    exactly = script(job())
    least = script(job(flink=FlinkSettings(delivery="at-least-once")))
    assert (
        exactly.count("'sink.delivery-guarantee' = 'exactly-once'")
        == len(DEFAULT_CALENDAR.intervals) + 1
    )
    prefixes = [line for line in exactly.splitlines() if "transactional-id-prefix" in line]
    assert len(set(prefixes)) == len(DEFAULT_CALENDAR.intervals) + 1
    assert "transactional-id-prefix" not in least
    assert (
        least.count("'sink.delivery-guarantee' = 'at-least-once'")
        == len(DEFAULT_CALENDAR.intervals) + 1
    )


def test_restore_sets_the_recovery_path() -> None:
    flink_options = options(job())
    assert not [name for name in flink_options if name.startswith("execution.state-recovery")]
    restored = Job(
        **{name: getattr(job(), name) for name in ("topics", "settings", "flink", "client")},
        checkpoints="file:///state",
        restore="file:///state/chk-7",
    )
    assert options(restored)["execution.state-recovery.path"] == "file:///state/chk-7"


def test_price_setting() -> None:
    assert "`bid` AS `price`" in script(job(AggregateSettings(price="bid")))
    zero = "CAST(0 AS DOUBLE)"
    text = script(job(AggregateSettings(price="ask", prices="any")))
    assert f"`ask` + {zero} AS `price`" in text
    assert "ABS(`bid`) <= " in text
    assert zero not in script(job())
    assert "`mid` > 0 AND `mid` <= " in script(job())


def test_the_prices_that_count_are_read_as_numbers() -> None:
    quotes, trades = script(job()), script(job(AggregateSettings(price="trade")))
    for name, of_quotes, of_trades in (
        ("mid", "DOUBLE", "STRING"),
        ("price", "STRING", "DOUBLE"),
        ("size", "STRING", "STRING"),
        ("number", "BIGINT", "BIGINT"),
    ):
        assert f"\n  `{name}` {of_quotes}," in quotes.partition("CREATE VIEW")[0]
        assert f"\n  `{name}` {of_trades}," in trades.partition("CREATE VIEW")[0]


def test_candles_of_trades_are_written_as_texts() -> None:
    quotes, trades = script(job()), script(job(AggregateSettings(price="trade")))
    assert "'value.format' = 'raw'" not in quotes
    assert "turnover" not in quotes
    # Flink would run a join in a view once for each interval.
    assert "JOIN" not in trades
    assert trades.count("'value.format' = 'raw'") == len(DEFAULT_CALENDAR.intervals)
    names = [field.json for field in record_fields("trade", CURRENT)]
    assert re.findall(r"'\"(\w+)\":'", trades)[: len(names)] == names


def test_duplicates_are_recognised_during_the_allowed_lateness() -> None:
    with pytest.raises(SettingError, match="dedupe_ttl is 5min, less than allowed_lateness"):
        job(flink=FlinkSettings(dedupe_ttl=timedelta(minutes=5)))


def test_engines_without_exact_decimals_make_candles_of_quotes_only() -> None:
    trades = job(AggregateSettings(price="trade"))
    with pytest.raises(SettingError, match="makes candles of quotes only"):
        confluent.tables(trades, 1)
    with pytest.raises(SettingError, match="makes candles of quotes only"):
        ksqldb.script(trades.topics, trades.settings)


def test_the_sql_contains_no_secrets() -> None:
    login = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "somebody",
        "sasl.password": "a secret",
        "ssl.ca.location": "/ca.pem",
    }
    text = script(job(kafka=login))
    assert "a secret" not in text
    assert "somebody" not in text
    assert 'password="${env:KAFKA_SASL_PASSWORD}"' in text
    assert f"{SHADED}org.apache.kafka.common.security.scram.ScramLoginModule" in text
    assert "'properties.ssl.truststore.location' = '/ca.pem'" in text


def test_properties_unknown_to_java_are_refused() -> None:
    with pytest.raises(SettingError, match=r"do not support queued\.max\.messages\.kbytes"):
        job(kafka={"queued.max.messages.kbytes": "1"})
