"""dbt over real quotes: everything builds, its tests can fail, and the marts are correct."""

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homma.core.calendar import DEFAULT_CALENDAR
from homma.core.interval import BY_CODE
from homma.lake.schema import candle_tables
from homma.topics import codec
from tests.engines.market import WRITTEN, candles_of, trades
from tests.engines.sandbox import ROOT, Sandbox
from tests.support.landing import tamper
from tests.support.pipeline import tick
from tests.support.real_ticks import needs_real_ticks

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800), needs_real_ticks]
DBT = ROOT / "deploy" / "dbt"
SERIES = ["source", "symbol"]
KEY = "source symbol date_time"


class Dbt:
    """Runs dbt in its own environment, and reads the status of each node."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.target = folder / "target"
        self.environment = {
            **sandbox.environment,
            "DBT_TARGET_PATH": str(self.target),
            "DBT_LOG_PATH": str(folder),
            "DBT_PROJECT_DIR": str(DBT),
            "DBT_PROFILES_DIR": str(DBT),
        }

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        process = subprocess.run(
            [DBT / ".venv" / "bin" / "dbt", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment | variables,
        )
        print(process.stdout[-4000:], process.stderr[-2000:])
        return process

    def results(self) -> dict[str, str]:
        """The status of each node of the last run by name."""
        rows = json.loads((self.target / "run_results.json").read_text("utf-8"))["results"]
        return {row["unique_id"].split(".")[2]: row["status"] for row in rows}


@pytest.fixture(scope="module")
def dbt(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    return Dbt(sandbox, tmp_path_factory.mktemp("dbt"))


@pytest.fixture(scope="module")
def built(dbt: Dbt) -> Dbt:
    """dbt after a build, including the models over the topics."""
    process = dbt.run("build", KAFKA_CATALOG="kafka")
    assert process.returncode == 0, process.stdout[-3000:]
    return dbt


def test_everything_is_built_and_all_tests_pass(built: Dbt) -> None:
    results = built.results()
    assert set(results.values()) == {"success", "pass"}
    views = 1 + 2 * len(DEFAULT_CALENDAR.intervals)
    assert Counter(results.values())["success"] == views + 5
    for interval in DEFAULT_CALENDAR:
        assert results[f"one_row_per_candle_stg_candle_{interval.name}_{interval.name}"] == "pass"


def test_returns_and_volatility(built: Dbt) -> None:
    sandbox = built.sandbox
    mid = sandbox.quotes.group_by(*SERIES, pl.col("dateTime").dt.truncate("1d")).agg(
        pl.col("mid").sort_by("dateTime", "number").last()
    )
    closes = mid.sort(*SERIES, "dateTime").with_columns(
        simple=pl.col("mid") / pl.col("mid").shift(1).over(SERIES) - 1
    )
    expected = closes.filter(pl.col("dateTime") < closes["dateTime"].max())
    rows = sandbox.frame("market_marts.daily_returns", f"{KEY} close simple_return")
    assert rows["close"].to_list() == expected["mid"].to_list()
    assert rows["simple_return"].to_list() == pytest.approx(expected["simple"].to_list())
    steps = (
        sandbox.quotes.sort("dateTime", "number")
        .group_by(*SERIES, pl.col("dateTime").dt.truncate("5m"), maintain_order=True)
        .agg(pl.col("mid").last())
        .with_columns(move=pl.col("mid").log() - pl.col("mid").log().shift(1).over(SERIES))
    )
    volatile = steps.group_by(*SERIES, pl.col("dateTime").dt.truncate("1d")).agg(
        (pl.col("move") ** 2).sum().sqrt()
    )
    expected_volatility = volatile.filter(pl.col("dateTime") < closes["dateTime"].max())
    realised = sandbox.frame("market_marts.daily_returns", f"{KEY} realised_volatility")
    assert realised["realised_volatility"].to_list() == pytest.approx(
        expected_volatility.sort(*SERIES, "dateTime")["move"].to_list()
    )


def test_spreads_and_counts(built: Dbt) -> None:
    sandbox = built.sandbox
    hours = (
        sandbox.quotes.group_by(*SERIES, pl.col("dateTime").dt.truncate("1h"))
        .agg(
            pl.len(),
            (pl.col("ask") - pl.col("bid")).mean().alias("mean"),
            (pl.col("ask") - pl.col("bid")).max().alias("largest"),
        )
        .sort(*SERIES, "dateTime")
    )
    columns = f"{KEY} ticks mean_spread largest_spread"
    rows = sandbox.frame("market_marts.hourly_spreads", columns)
    assert rows["ticks"].to_list() == hours["len"].to_list()
    assert rows["mean_spread"].to_list() == pytest.approx(hours["mean"].to_list())
    assert rows["largest_spread"].to_list() == pytest.approx(hours["largest"].to_list())
    days = sandbox.quotes.group_by(*SERIES, pl.col("dateTime").dt.truncate("1d")).len()
    counts = sandbox.frame("market_marts.daily_tick_counts", f"{KEY} ticks duplicates")
    assert counts["ticks"].to_list() == days.sort(*SERIES, "dateTime")["len"].to_list()
    assert set(counts["duplicates"]) == {0}


def test_gaps_and_divergence(built: Dbt) -> None:
    sandbox = built.sandbox
    minutes = sandbox.quotes.select(*SERIES, pl.col("dateTime").dt.truncate("1m")).unique()
    gaps = (
        minutes.sort(*SERIES, "dateTime")
        .with_columns(
            silent=(
                pl.col("dateTime").shift(-1).over(SERIES) - pl.col("dateTime")
            ).dt.total_minutes()
            - 1
        )
        .filter(pl.col("silent") > 15)
    )
    rows = sandbox.frame("market_marts.gaps", "source symbol began minutes over_weekend")
    assert rows["minutes"].to_list() == gaps["silent"].to_list()
    assert rows["over_weekend"].any()
    divergence = sandbox.frame(
        "market_marts.source_divergence", "source other_source date_time minutes mean_basis_points"
    )
    assert divergence.height == sandbox.quotes["dateTime"].dt.date().n_unique()
    # The second source has a third of the quotes, a basis point higher.
    assert divergence["mean_basis_points"].is_between(0.9, 1.4).all()


def test_a_second_build_recomputes_the_newest_days(built: Dbt) -> None:
    tables = ("hourly_spreads", "daily_tick_counts", "source_divergence")
    before = {t: built.sandbox.query(f"SELECT count(*) FROM market_marts.{t}") for t in tables}
    assert built.run("run", "--select", *tables).returncode == 0
    after = {t: built.sandbox.query(f"SELECT count(*) FROM market_marts.{t}") for t in tables}
    assert after == before


def test_source_freshness(built: Dbt) -> None:
    built.run("source", "freshness")
    rows = json.loads((built.target / "sources.json").read_text("utf-8"))["results"]
    by_table = {row["unique_id"].split(".")[-1]: row for row in rows}
    # The quotes are from 2014, and their candles were written today.
    ticks = by_table.pop("stock_ticks_iceberg")
    assert (ticks["status"], ticks["max_loaded_at"][:10]) == ("error", "2014-05-05")
    assert set(by_table) == {spec.name for spec in candle_tables(DEFAULT_CALENDAR)}
    assert all(row["max_loaded_at"] > "2026" for row in by_table.values())


OPERATIONS = ("expire_snapshots", "remove_orphan_files")


@pytest.mark.parametrize(
    ("operation", "age"), [*product(OPERATIONS, ["59m"]), (OPERATIONS[0], "soon")]
)
def test_files_younger_than_an_hour_are_not_touched(dbt: Dbt, operation: str, age: str) -> None:
    refused = dbt.run("run-operation", operation, "--args", f"{{older_than: {age}}}")
    assert refused.returncode != 0
    assert age in refused.stdout


def test_maintenance_keeps_all_rows(built: Dbt) -> None:
    sandbox = built.sandbox
    counts = "SELECT count(*), sum(volume) FROM candle_1min_iceberg"
    before = sandbox.query(counts)
    tables = "tables: [candle_1min_iceberg, stock_ticks_iceberg]"
    assert built.run("run-operation", "optimize", "--args", f"{{{tables}}}").returncode == 0
    for operation in OPERATIONS:
        arguments = f"{{{tables}, older_than: 1h}}"
        assert built.run("run-operation", operation, "--args", arguments).returncode == 0
    assert sandbox.query(counts) == before
    operations = sandbox.query('SELECT operation FROM "stock_ticks_iceberg$snapshots"')
    assert ("replace",) in operations


def test_a_test_fails_when_it_should(built: Dbt) -> None:
    """Runs after the tests that need a correct lake."""
    sinks = built.sandbox.sinks
    some = pl.col("volume") > 0
    assert tamper(sinks, "m1", pl.col("volume") > 20, high=pl.col("low") - 1)
    assert tamper(sinks, "m1", pl.col("date_time").dt.hour() == 12)
    assert tamper(sinks, "m30", some, close=pl.col("open"))
    assert tamper(sinks, "D1", some, close=pl.col("close") + 1)
    models = ["stg_candle_1min", "stg_candle_30min", "stg_live_candle_1day"]
    failed = built.run("test", "--select", *models, KAFKA_CATALOG="kafka")
    assert failed.returncode == 1
    by_status: dict[str, set[str]] = {"fail": set(), "pass": set()}
    for name, status in built.results().items():
        by_status[status].add(name)
    for expected in (
        "agrees_with_stg_live_candle_1day",
        "in_order_stg_candle_1min",
        "no_gap_where_ticks_exist_stg_candle_1min",
        "rolls_up_stg_candle_30min",
    ):
        assert any(name.startswith(expected) for name in by_status["fail"])
    assert any(name.startswith("one_row_per_candle_stg_candle_1min") for name in by_status["pass"])


def test_trino_lands_candles_in_place_of_homma(sandbox: Sandbox, dbt: Dbt) -> None:
    by_trino = {"HOMMA_CANDLES_BY": "trino", "KAFKA_CATALOG": "kafka"}
    refused = dbt.run("run", "--select", "land_candle_1min", **by_trino)
    assert refused.returncode == 1
    assert "--candles-by trino" in refused.stdout
    sinks = replace(sandbox.sinks, namespace="landed_by_trino")
    by_trino["HOMMA_NAMESPACE"] = "landed_by_trino"
    missing = dbt.run("run", "--select", "land_candle_1min", **by_trino)
    assert missing.returncode == 1
    assert "homma land" in missing.stdout
    sinks.work_off(candles_by="trino")
    assert sandbox.query("SELECT count(*) FROM landed_by_trino.candle_1min_iceberg") == [(0,)]
    assert dbt.run("run", "--select", "tag:land", **by_trino).returncode == 0
    sinks.check()
    # A correction and an updated candle, and no other changes.
    last: Any = sandbox.quotes["dateTime"].max()
    sandbox.pipeline.send(tick(f"{last:%Y-%m-%dT%H:%M:%S}.000", 2.0, 10**9, "EURUSD", "SOURCE_2"))
    sandbox.pipeline.work_off()
    names = {code: BY_CODE[code].name for code in ("m1", "D1")}
    models = [f"land_candle_{name}" for name in names.values()]
    assert dbt.run("run", "--select", *models, **by_trino).returncode == 0
    for code, name in names.items():
        sinks.check_candles(f"candle_{name}_iceberg", code)
    properties = sinks.table("candle_1min_iceberg").properties
    assert properties["homma.sink"] == "trino"
    # And back: `homma land` continues from Trino's offsets.
    sinks.work_off()
    sinks.check()
    refused = dbt.run("run", "--select", "land_candle_1min", **by_trino)
    assert "--candles-by trino" in refused.stdout


# --- trades ---------------------------------------------------------------------------------------
def send_trades(sandbox: Sandbox) -> None:
    """Trades and their candles, as an engine for trades writes them, after candles of quotes."""
    # The quotes have series with the names of the market's.
    ticks = trades().with_columns(source=pl.format("TRADES_{}", "source"))
    pipeline = sandbox.pipeline
    at = pl.col("date_time").dt.to_string("%Y-%m-%dT%H:%M:%S%.3f")
    names = ("source", "symbol", "ask", "bid", "mid", "price", "size", "side", "number")
    pipeline.send_frame(ticks.select(*names, at.alias("dateTime")))
    candles, written_us = candles_of(ticks, "trade"), int(WRITTEN.timestamp() * 1_000_000)
    transactions = pipeline.foreign_transaction()
    transactions.init()
    transactions.begin()

    def send(code: str, keys: list[bytes], values: Sequence[bytes | None]) -> None:
        sent_ms = [written_us // 1000] * len(keys)
        headers: list[list[tuple[str, str | bytes | None]]] = [[] for _ in keys]
        transactions.send(pipeline.topics.candles[code], 0, keys, values, sent_ms, headers)

    for code in DEFAULT_CALENDAR.codes:
        part = candles.filter(pl.col("interval") == code)
        open_before = part.with_columns(close="open", is_final=pl.lit(value=False), revision=0)
        send(code, *codec.encode_candles(open_before, written_us - 1_000_000, "trade"))
        keys, values = codec.encode_candles(part, written_us, "trade")
        send(code, keys, values)
        # A record that is no candle changes nothing. With the key of a candle, compaction could
        # delete the candle.
        send(code, [b"invalid"], [values[0].replace(b'"turnover":', b'"turnover":"much",":":')])
    is_deleted = (pl.col("interval") == "m1") & ~pl.col("is_final")
    send("m1", codec.encode_candle_keys(candles.filter(is_deleted))[:1], [None])
    transactions._producer.commit_transaction(60)
    transactions.close()


def test_trino_lands_candles_of_trades_as_homma_does(sandbox: Sandbox, dbt: Dbt) -> None:
    send_trades(sandbox)
    by_homma = replace(sandbox.sinks, namespace="trades_by_homma")
    by_trino = replace(sandbox.sinks, namespace="trades_by_trino")
    by_homma.work_off()
    by_trino.work_off(candles_by="trino")
    variables = {"HOMMA_CANDLES_BY": "trino", "KAFKA_CATALOG": "kafka"}
    landed = dbt.run("run", "--select", "tag:land", HOMMA_NAMESPACE="trades_by_trino", **variables)
    assert landed.returncode == 0
    for spec in candle_tables(DEFAULT_CALENDAR):
        expected, actual = by_homma.rows(spec.name), by_trino.rows(spec.name)
        assert set(actual.rows()) ^ set(expected.rows()) == set(), spec.name
        assert actual.height == expected.height
        assert 0 < expected["turnover"].null_count() < expected.height
        assert expected["turnover"].is_null().equals(expected["traded_volume"].is_null())


def test_staging_shows_the_volume_of_trades_and_its_tests_can_fail(
    sandbox: Sandbox, dbt: Dbt
) -> None:
    sinks = replace(sandbox.sinks, namespace="trades_by_homma")
    environment = {"HOMMA_NAMESPACE": "trades_by_homma"}
    built = dbt.run("build", "--select", "staging", **environment)
    assert built.returncode == 0, built.stdout[-3000:]
    assert set(dbt.results().values()) == {"success", "pass"}
    of_trades = sinks.rows("candle_1day_iceberg").filter(pl.col("turnover").is_not_null())
    expected = of_trades.select(*SERIES, "traded_volume", "tick_count", "turnover")
    columns = "source, symbol, volume, tick_count, turnover"
    staged = "market_marts.stg_candle_1day"
    rows = sandbox.query(f"SELECT {columns} FROM {staged} WHERE turnover IS NOT NULL")
    assert set(rows) == set(expected.rows())
    assert len(rows) == 16
    means = sandbox.query(f"SELECT vwap FROM {staged} WHERE vwap BETWEEN low AND high")
    assert len(means) == len(rows)
    quotes = f"SELECT volume, vwap FROM {staged} WHERE turnover IS NULL AND volume = tick_count"
    assert {vwap for _, vwap in sandbox.query(quotes)} == {None}

    is_bnb = (pl.col("symbol") == "BNBUSD") & pl.col("turnover").is_not_null()
    assert tamper(sinks, "m5", is_bnb, turnover=pl.col("turnover") + pl.col("turnover"))
    assert tamper(sinks, "m1", is_bnb & (pl.col("date_time").dt.hour() == 12))
    failed = dbt.run("test", "--select", "stg_candle_1min", "stg_candle_5min", **environment)
    assert failed.returncode == 1
    failures = {name for name, status in dbt.results().items() if status == "fail"}
    for name in ("in_order_stg_candle_5min", "no_gap_where_ticks_exist_stg_candle_1min"):
        assert any(failure.startswith(name) for failure in failures)
    assert not any(failure.startswith("in_order_stg_candle_1min") for failure in failures)
