"""All users of `core/finality.py` agree with the oracle: engine, `land`, `serve` and `repair`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homma.core.calendar import calendar_of
from homma.core.finality import FinalityRules
from homma.core.interval import BY_CODE
from homma.core.recompute import EXPECTED, EXPECTED_KEY
from homma.core.window import Window, WindowRules
from homma.durations import microseconds
from homma.lake.audit.correction import RECORDED_SERIES, PartitionTime, compute_correction
from homma.lake.land import newest
from homma.lake.schema import CANDLE_KEY
from homma.serve.watermarks import SeriesWatermarks
from homma.topics.precedence import reduce
from tests.support import oracle
from tests.support.candle_rows import candle, candles
from tests.support.frames import tick_frame, us

NOON = datetime(2025, 1, 31, 23, 40)
CALENDAR = calendar_of(["s10", "m1", "m5", "h1", "M1"])
SERIES = ("S", "AAA")
#: (interval code, start)
Candle = tuple[str, datetime]
durations = st.sampled_from([0, 1, 2_000_000, 5_000_000, 60_000_000, 600_000_000, 700_000_001])
durations_or_any = durations | st.integers(0, 1_000_000_000)


@dataclass(frozen=True)
class Case:
    """A series with ticks, all read at once, and a clock that has moved on since then."""

    ticks: list[datetime]
    idle: timedelta
    rules: oracle.Finality

    @property
    def newest(self) -> datetime:
        return max(self.ticks)

    @property
    def read_at(self) -> datetime:
        # A Kafka timestamp has milliseconds.
        return self.newest.replace(microsecond=self.newest.microsecond // 1000 * 1000)

    @property
    def core_rules(self) -> FinalityRules:
        return FinalityRules(
            watermark_delay_us=microseconds(self.rules.watermark_delay),
            idle_timeout_us=microseconds(self.rules.idle_timeout),
            allowed_lateness_us=microseconds(self.rules.allowed_lateness),
        )

    def final(self, watermark: datetime, made: set[Candle]) -> set[Candle]:
        """The oracle: the final candles, by the watermark of their series."""
        return {
            (code, start)
            for code, start in made
            if oracle.end_of(BY_CODE[code].name, start) <= watermark
        }

    def correctable(self, made: set[Candle]) -> set[Candle]:
        """The oracle: the candles that a tick may correct."""
        return {
            (code, start)
            for code, start in made
            if self.rules.is_correctable(oracle.end_of(BY_CODE[code].name, start), self.newest)
        }


@st.composite
def cases(draw: st.DrawFn) -> Case:
    second_us = 1_000_000
    offsets = st.integers(0, 30 * 60 * second_us) | st.integers(0, 180).map(
        lambda n: n * 10 * second_us
    )
    ticks = draw(st.lists(offsets, min_size=1, max_size=8, unique=True))
    delay, timeout, lateness = (
        timedelta(microseconds=draw(durations_or_any) // 1000 * 1000) for _ in range(3)
    )
    idle = draw(st.just(timeout) | st.integers(0, 1000).map(lambda s: timedelta(seconds=s)))
    return Case(
        [NOON + timedelta(microseconds=n) for n in sorted(ticks)],
        idle,
        oracle.Finality(delay, timeout, lateness),
    )


def of_frame(frame: pl.DataFrame) -> set[Candle]:
    return {
        (code, oracle.EPOCH + timedelta(microseconds=start_us))
        for code, start_us in frame.select("interval", "start_us").iter_rows()
    }


def run_engine(case: Case) -> tuple[Window, pl.DataFrame]:
    """The window after a publish, and the published candles; the ticks arrive in order."""
    ticks = [
        (
            {
                "source": "S",
                "symbol": "AAA",
                "ask": 1.0,
                "bid": 1.0,
                "mid": 1.0,
                "number": n,
                "dateTime": at.isoformat(timespec="microseconds"),
            }
        )
        for n, at in enumerate(case.ticks)
    ]
    window = Window(WindowRules(calendar=CALENDAR, finality=case.core_rules))
    window, applied = window.apply(
        tick_frame([(n, tick, case.read_at) for n, tick in enumerate(ticks)])
    )
    assert applied.accepted == len(ticks)
    return window.publish(us(case.read_at + case.idle))


def landed_as_final(case: Case, made: set[Candle]) -> set[Candle]:
    """The final rows that `land` writes for candles without `isFinal`."""
    final: set[Candle] = set()
    for code in CALENDAR.codes:
        rows = [
            candle("AAA", start.replace(tzinfo=UTC), is_final=None, revision=None)
            | {"close_date_time": case.newest.replace(tzinfo=UTC)}
            for made_code, start in made
            if made_code == code
        ]
        # A record of another series moves the clock of the partition.
        rows.append(candle("BBB", datetime(2025, 1, 1, tzinfo=UTC)))
        clocks = [us(case.read_at)] * (len(rows) - 1) + [us(case.read_at + case.idle)]
        batch = candles(*rows).with_columns(
            is_deleted=pl.lit(value=False),
            partition=pl.lit(0, pl.Int32),
            offset=pl.int_range(pl.len(), dtype=pl.Int64),
            timestamp_us=pl.Series(clocks, dtype=pl.Int64),
            is_authoritative=pl.lit(value=False),
        )
        times = newest.advance(pl.DataFrame(schema=newest.SERIES_TIMES), batch)
        reduced = reduce(batch, CANDLE_KEY).records
        change = newest.merge(candles(), candles(), reduced, times, BY_CODE[code], case.core_rules)
        starts = change.final.filter(pl.col("symbol") == "AAA")["date_time"].to_list()
        final |= {(code, start.replace(tzinfo=None)) for start in starts}
    return final


def served_as_final(case: Case, made: set[Candle]) -> set[Candle]:
    """The candles without `isFinal` that `serve` returns for final=true."""
    watermarks = SeriesWatermarks(case.rules.watermark_delay, case.rules.idle_timeout)
    read_ms = us(case.read_at) // 1000
    watermarks.observe(SERIES, case.newest.replace(tzinfo=UTC), read_ms)
    watermarks.observe(("S", "BBB"), datetime(2025, 1, 1, tzinfo=UTC), read_ms)
    now_ms = read_ms + microseconds(case.idle) // 1000
    watermarks.observe(("S", "BBB"), datetime(2025, 1, 1, tzinfo=UTC), now_ms)
    final = set()
    for code, start in made:
        open_from = watermarks.open_from(BY_CODE[code], SERIES)
        assert open_from is not None
        if start.replace(tzinfo=UTC) < open_from:
            final.add((code, start))
    return final


@settings(deadline=None, max_examples=60)
@given(cases())
def test_all_stages_agree_on_final_and_correctable(case: Case) -> None:
    window, published = run_engine(case)
    made = of_frame(published)
    final = case.final(case.rules.watermark(case.newest, case.idle), made)
    assert of_frame(published.filter("is_final")) == final
    assert of_frame(window.candles) == (made - final) | case.correctable(made)

    estimated = case.final(case.rules.estimated_watermark(case.newest, case.idle), made)
    assert landed_as_final(case, made) == estimated
    assert served_as_final(case, made) == estimated
    # The estimate is never early, and exact as long as the series is not idle.
    assert estimated <= final
    if case.idle < case.rules.idle_timeout:
        assert estimated == final


@settings(deadline=None, max_examples=60)
@given(cases(), st.data())
def test_repaired_candles_are_final_by_their_recorded_ticks_and_stay_final(
    case: Case, data: st.DataObject
) -> None:
    _, published = run_engine(case)
    expected = published.select(EXPECTED.names())
    recorded = st.sampled_from([None, False, True])
    flags = data.draw(st.lists(st.tuples(recorded, recorded), min_size=len(expected)))
    in_topic, in_table = (
        pl.Series([pair[n] for pair in flags[: len(expected)]], dtype=pl.Boolean) for n in (0, 1)
    )
    # The ticks are live, or from a file. The engine may withhold the month that would tell.
    read = data.draw(st.sampled_from([case.read_at, None]))
    now = data.draw(st.sampled_from([case.read_at + case.idle, None]))
    keys = expected.select(EXPECTED_KEY)
    state = keys.with_columns(revision=pl.lit(1, pl.Int32))
    series = [("S", "AAA", us(case.newest), None if read is None else us(read))]
    correction = compute_correction(
        expected,
        keys,
        state.with_columns(volume=1, is_final=in_topic, timestamp_ms=pl.lit(0, pl.Int64)),
        state.with_columns(is_final=in_table),
        pl.DataFrame(series, RECORDED_SERIES, orient="row"),
        PartitionTime(us(case.read_at), None if now is None else us(now)),
        case.core_rules,
    )
    made = of_frame(expected)
    was_final = of_frame(keys.filter(in_topic)) | of_frame(keys.filter(in_table))
    rules = case.rules
    watermark = (
        rules.watermark(case.newest)
        if now is None
        else rules.recorded_watermark(case.newest, read, now)
    )
    final = case.final(watermark, made) | was_final
    assert of_frame(correction.candles.filter("is_final")) == final
    assert of_frame(correction.needed) == (made - final) | case.correctable(made)
    # No candle is final here that the engine would call open.
    idle = case.idle if read is not None or now is None else now - case.newest
    assert final <= case.final(rules.watermark(case.newest, idle), made) | was_final


@pytest.mark.parametrize(
    ("end", "newest", "read", "is_final"),
    [
        # From a file: 2 s behind the newest tick, or 5 s behind the clock.
        ("12:00:00", "12:00:02", None, True),
        ("12:00:00", "12:00:01.999999", None, True),
        ("12:59:55", "11:00:00", None, True),
        ("12:59:55.000001", "11:00:00", None, False),
        ("12:59:55", "12:59:54.999999", None, True),
        # The newest tick is too recent for the clock to count.
        ("12:59:54", "12:59:55.000001", None, False),
        ("12:59:54", "12:59:56", None, True),
        # In the future of the clock, only the ticks count.
        ("13:04:58", "13:05:00", None, True),
        ("13:04:59", "13:05:00", None, False),
        # Live ticks: while they are being read, only they count.
        ("12:00:00", "12:00:01", "12:59:59", False),
        ("12:00:00", "12:00:02", "12:59:59", True),
        # Then time goes on from the newest tick, as for the engine.
        ("11:29:55", "11:00:00", "12:30:00", True),
        ("11:29:56", "11:00:00", "12:30:00", False),
    ],
)
def test_a_candle_of_recorded_ticks_is_final_once_it_is_over(
    end: str, newest: str, read: str | None, is_final: bool
) -> None:
    def at(time: str) -> datetime:
        return datetime.fromisoformat(f"2025-03-20T{time}")

    now, read_at = at("13:00:00"), None if read is None else at(read)
    rules = oracle.Finality()
    assert (rules.recorded_watermark(at(newest), read_at, now) >= at(end)) == is_final
    [watermark_us] = pl.select(
        FinalityRules().recorded_watermark_us(
            pl.lit(us(at(newest)), pl.Int64),
            pl.lit(None if read_at is None else us(read_at), pl.Int64),
            us(now),
        )
    ).row(0)
    assert (watermark_us >= us(at(end))) == is_final
