"""The specification of candles in plain Python, which every engine is compared with.

Nothing here is optimized or shared with the engine. Ticks come in offset order. Instants are naive
datetimes in UTC.
"""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Literal

Tick = dict[str, Any]
Candle = dict[str, Any]
Series = tuple[str, str]
Fate = Literal["accepted", "duplicate", "late", "beyond"]

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1)


# --- the intervals ----------------------------------------------------------------------------
COUNTS = {"s": (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30), "h": (1, 2, 3, 4, 6, 8, 12)}
COUNTS["m"] = COUNTS["s"]
UNITS = {"s": ("sec", 1), "m": ("min", 60), "h": ("hour", 3600)}
#: All intervals that can be chosen, finest first: the names by their codes.
NAME_OF = {
    **{f"{unit}{count}": f"{count}{UNITS[unit][0]}" for unit in "smh" for count in COUNTS[unit]},
    "D1": "1day",
    "W1": "1week",
    "M1": "1month",
}
SECONDS_LONG = {
    "1day": 86_400,
    **{
        f"{count}{word}": count * seconds
        for unit, (word, seconds) in UNITS.items()
        for count in COUNTS[unit]
    },
}
#: The intervals that are chosen by default.
NAMES = (
    "1min",
    "5min",
    "10min",
    "15min",
    "30min",
    "1hour",
    "3hour",
    "4hour",
    "1day",
    "1week",
    "1month",
)


def start_of(interval: str, at: datetime) -> datetime:
    """The start of the interval that contains an instant."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if interval == "1month":
        return midnight.replace(day=1)
    if interval == "1week":
        return midnight - timedelta(days=midnight.weekday())
    length = SECONDS_LONG[interval]
    return midnight + timedelta(seconds=(at - midnight).seconds // length * length)


def end_of(interval: str, start: datetime) -> datetime:
    """The end of an interval (exclusive), which is the start of the next one."""
    if interval == "1month":
        return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    if interval == "1week":
        return start + timedelta(days=7)
    return start + timedelta(seconds=SECONDS_LONG[interval])


# --- reading a tick ---------------------------------------------------------------------------
NOT_JSON = "not a JSON object"
JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
EXACT = Context(prec=400, rounding=ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX)
BOUND = Decimal(10) ** 26
NAME = re.compile(r'[^\x00-\x1f\x7f-\x9f"\\{}\[\]]{1,64}')
INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?Z?")


@dataclass(frozen=True)
class Number:
    """A JSON number as written."""

    text: str

    def whole(self) -> int | None:
        """The value of an integer with at most 19 digits; else None."""
        return int(self.text) if re.fullmatch(r"-?[0-9]{1,19}", self.text) else None


def _first_values(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    first: dict[str, Any] = {}
    for key, value in pairs:
        first.setdefault(key, value)
    return first


def _reject_constant(text: str) -> Any:
    raise ValueError(text)


def json_object(value: bytes | None) -> dict[str, Any] | None:
    """The value of a record as a JSON object, with numbers as written; None if it is no object."""
    try:
        parsed = json.loads(
            (value or b"").decode(),
            object_pairs_hook=_first_values,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_reject_constant,
        )
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def instant(text: str) -> datetime | None:
    """The instant in a text that follows the contract; else None."""
    if not INSTANT.fullmatch(text):
        return None
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    try:
        at = datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None
    at += timedelta(microseconds=int(fraction.ljust(6, "0") or 0))
    return at if at >= EPOCH else None


def _name(value: Any) -> str | None:
    if isinstance(value, Number):
        value = value.text
    elif isinstance(value, bool):
        value = "true" if value else "false"
    # A lone surrogate cannot be encoded in UTF-8, so it is not a character.
    matches = isinstance(value, str) and NAME.fullmatch(value)
    return value if matches and not re.search(r"[\ud800-\udfff]", value) else None


def _price(value: Any) -> float | None:
    number = _any_price(value)
    return number if number is not None and number > 0 else None


def _any_price(value: Any) -> float | None:
    number = _number(value)
    return None if number is None else number + 0.0


def _size(value: Any) -> Decimal | None:
    """An exact decimal, of a number or of a text of a number."""
    text = value.text if isinstance(value, Number) else value
    if not isinstance(text, str) or not JSON_NUMBER.fullmatch(text):
        return None
    size = Decimal(text)
    if not 0 <= size < 10**18:
        return None
    fits = size.quantize(Decimal("1e-12"), context=EXACT) == size
    return EXACT.abs(size) if fits else None


def _side(value: Any) -> str | None:
    return value if value in ("buy", "sell") else None


def _number(value: Any) -> float | None:
    number = float(value.text) if isinstance(value, Number) else math.nan
    return number if math.isfinite(number) else None


def _integer(value: Any) -> int | None:
    number = value.whole() if isinstance(value, Number) else None
    return number if number is not None and 0 <= number < 1 << 63 else None


def _instant(value: Any) -> str | None:
    return value if isinstance(value, str) and instant(value) is not None else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


QUOTE = ("ask", "bid", "mid")
REQUIRED = {
    "source": _name,
    "symbol": _name,
    "number": _integer,
    "dateTime": _instant,
}
OPTIONAL = {
    **dict.fromkeys((*QUOTE, "price"), _price),
    "size": _size,
    "side": _side,
    "receiveDateTime": _instant,
    "askMarkup": _number,
    "bidMarkup": _number,
    "isTradable": _boolean,
}


#: The order in which fields are checked.
FIELDS = ["source", "symbol", *QUOTE, "price", "size", "side", "number", "dateTime"]
FIELDS += [name for name in OPTIONAL if name not in FIELDS]


def read(value: bytes | None, prices: str = "positive") -> Tick | str:
    """The tick in a record's value, with None for absent optional fields; or the error.

    The error is NOT_JSON or the name of the first field that breaks its rule.
    """
    parsed = json_object(value)
    if parsed is None:
        return NOT_JSON
    tick: Tick = {}
    rules = REQUIRED | OPTIONAL
    if prices == "any":
        rules |= dict.fromkeys((*QUOTE, "price"), _any_price)
    for name in FIELDS:
        raw = parsed.get(name)
        tick[name] = None if raw is None else rules[name](raw)
        if tick[name] is None and (name in REQUIRED or raw is not None):
            return name
    return _wrong_part(tick, {name for name in FIELDS if tick[name] is not None}) or tick


def _wrong_part(tick: Tick, has: set[str]) -> str | None:
    """The field that makes a tick neither a quote nor a trade."""
    if "price" in has and abs(tick["price"]) >= 10**12:
        return "price"
    missing = [name for name in QUOTE if name not in has]
    if missing and ("price" not in has or has & set(QUOTE)):
        return missing[0]
    alone = [name for name in ("size", "side") if name in has and "price" not in has]
    if alone:
        return alone[0]
    return "size" if "price" in has and turnover_of(tick) is None else None


def size_of(tick: Tick) -> Decimal:
    """The size of a trade."""
    size = tick["size"]
    return Decimal(1) if size is None else size


def turnover_of(tick: Tick) -> Decimal | None:
    """Price times size of a trade, rounded half to even; None if it is too large."""
    product = EXACT.multiply(Decimal(repr(tick["price"])), size_of(tick))
    rounded = product.quantize(Decimal("1e-12"), context=EXACT)
    return rounded if -BOUND < rounded < BOUND else None


def text_of(value: Decimal) -> str:
    """The text of an exact decimal."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def applies(tick: Tick, price: str) -> bool:
    """Whether a tick has the price that candles are made of."""
    return tick["price" if price == "trade" else price] is not None


# --- which ticks count ------------------------------------------------------------------------
def series_of(tick: Tick) -> Series:
    """The series of a tick."""
    return (tick["source"], tick["symbol"])


def at_of(tick: Tick) -> datetime:
    """A valid tick's event time."""
    at = instant(tick["dateTime"])
    assert at is not None, tick
    return at


def fates(
    ticks: Iterable[Tick], allowed_lateness: timedelta | None = None, price: str = "mid"
) -> list[Fate]:
    """The fates of applicable ticks in order; without `allowed_lateness` no tick is late."""
    largest: dict[Series, datetime] = {}
    seen: set[tuple[Series, datetime, int]] = set()
    sums: dict[Any, tuple[Decimal, Decimal]] = {}
    result: list[Fate] = []
    for tick in ticks:
        series, at = series_of(tick), at_of(tick)
        newest = max(at, largest.get(series, at))
        minute_end = start_of("1min", at) + MINUTE
        identity = (series, at, tick["number"])
        if allowed_lateness is not None and minute_end + allowed_lateness <= newest:
            result.append("late")
        elif identity in seen:
            result.append("duplicate")
        elif price == "trade" and not _add(sums, tick):
            result.append("beyond")
            continue
        else:
            seen.add(identity)
            result.append("accepted")
        largest[series] = newest
    return result


def _add(sums: dict[Any, tuple[Decimal, Decimal]], tick: Tick) -> bool:
    """Add a trade to the sums of its candles; False if one of them would be too large."""
    turnover = turnover_of(tick)
    assert turnover is not None
    added: dict[Any, tuple[Decimal, Decimal]] = {}
    for interval in NAME_OF.values():
        key = (interval, *series_of(tick), start_of(interval, at_of(tick)))
        volume, total = sums.get(key, (Decimal(0), Decimal(0)))
        added[key] = (EXACT.add(volume, size_of(tick)), EXACT.add(total, turnover))
    if not all(-BOUND < value < BOUND for pair in added.values() for value in pair):
        return False
    sums |= added
    return True


# --- the candles ------------------------------------------------------------------------------
Key = tuple[str, str, str, datetime]


def candles(
    ticks: Iterable[Tick], price: str = "mid", intervals: Iterable[str] = NAMES
) -> dict[Key, Candle]:
    """Candles by (interval, source, symbol, start), from accepted ticks."""
    members: dict[Key, list[Tick]] = {}
    for tick in ticks:
        for interval in intervals:
            key = (interval, *series_of(tick), start_of(interval, at_of(tick)))
            members.setdefault(key, []).append(tick)
    return {key: _candle(key, in_candle, price) for key, in_candle in members.items()}


def _candle(key: Key, ticks: list[Tick], price: str) -> Candle:
    _, source, symbol, start = key
    first = min(ticks, key=lambda tick: (at_of(tick), tick["number"]))
    last = max(ticks, key=lambda tick: (at_of(tick), tick["number"]))
    name = "price" if price == "trade" else price
    prices = [tick[name] for tick in ticks]
    return {
        "source": source,
        "symbol": symbol,
        "dateTime": start.isoformat(timespec="milliseconds"),
        "open": first[name],
        "high": max(prices),
        "low": min(prices),
        "close": last[name],
        "volume": _sum(map(size_of, ticks)) if price == "trade" else len(ticks),
        "tickCount": len(ticks),
        **({"turnover": _sum(map(turnover_of, ticks))} if price == "trade" else {}),
        "openDateTime": at_of(first).isoformat(timespec="microseconds"),
        "openNumber": first["number"],
        "closeDateTime": at_of(last).isoformat(timespec="microseconds"),
        "closeNumber": last["number"],
    }


def _sum(values: Iterable[Decimal | None]) -> str:
    total = Decimal(0)
    for value in values:
        assert value is not None
        total = EXACT.add(total, value)
    return text_of(total)


def counted(
    ticks: list[Tick], allowed_lateness: timedelta | None = None, price: str = "mid"
) -> list[Tick]:
    """The accepted ticks of applicable ones."""
    pairs = zip(ticks, fates(ticks, allowed_lateness, price), strict=True)
    return [tick for tick, fate in pairs if fate == "accepted"]


# --- when they are final ----------------------------------------------------------------------
@dataclass(frozen=True)
class Finality:
    """The rules of watermarks and late ticks."""

    watermark_delay: timedelta = timedelta(seconds=2)
    idle_timeout: timedelta = timedelta(seconds=5)
    allowed_lateness: timedelta = timedelta(minutes=10)

    def watermark(self, newest: datetime, idle: timedelta | None = None) -> datetime:
        """The watermark of a series, by its largest event time and how long it has been idle."""
        by_event = newest - self.watermark_delay
        is_idle = idle is not None and idle >= self.idle_timeout
        return max(by_event, newest + (idle or timedelta(0))) if is_idle else by_event

    def estimated_watermark(self, newest: datetime, idle: timedelta) -> datetime:
        """The watermark of a series of which only the candles are known."""
        by_event = newest - self.watermark_delay
        return by_event + idle if idle >= self.idle_timeout else by_event

    def recorded_watermark(
        self, newest: datetime, read: datetime | None, now: datetime
    ) -> datetime:
        """The watermark of a series in the lake; `read` is None if all its ticks are from files."""
        by_event = newest - self.watermark_delay
        if read is None:
            read = newest
        idle = now - max(read, newest)
        if idle < self.idle_timeout:
            return by_event
        return max(by_event, newest + idle - self.idle_timeout)

    def is_correctable(self, end: datetime, newest: datetime) -> bool:
        """Whether a tick of a candle's last microsecond would not be dropped as late."""
        last = end - timedelta(microseconds=1)
        return start_of("1min", last) + MINUTE + self.allowed_lateness > newest


@dataclass
class Publisher:
    """The published candles of valid ticks, with isFinal and revision."""

    price: str = "mid"
    allowed_lateness: timedelta = timedelta(minutes=10)
    watermark_delay: timedelta = timedelta(seconds=2)
    idle_timeout: timedelta = timedelta(seconds=5)
    #: The names of the chosen intervals.
    intervals: tuple[str, ...] = NAMES
    ticks: list[Tick] = field(default_factory=list)
    #: By series: the largest event time, and the partition clock when the last tick was read.
    progress: dict[Series, tuple[datetime, datetime]] = field(default_factory=dict)
    published: dict[Key, Candle] = field(default_factory=dict)

    def apply(self, tick: Tick, clock: datetime) -> None:
        """Apply the next tick, at a partition clock."""
        self.ticks.append(tick)
        at, series = at_of(tick), series_of(tick)
        self.progress[series] = (max(at, self.progress.get(series, (at, clock))[0]), clock)

    def publish(self, clock: datetime) -> dict[Key, Candle]:
        """The candles that have changed since the last publish."""
        changed: dict[Key, Candle] = {}
        accepted = counted(self.ticks, self.allowed_lateness, self.price)
        for key, candle in candles(accepted, self.price, self.intervals).items():
            before = self.published.get(key, {"isFinal": False, "revision": 0})
            is_final = before["isFinal"] or self._is_final(key, clock)
            now = {**candle, "isFinal": is_final, "revision": before["revision"]}
            if now != before:
                now["revision"] += is_final
                changed[key] = now
        self.published |= changed
        return changed

    def _is_final(self, key: Key, clock: datetime) -> bool:
        interval, source, symbol, start = key
        newest, last_read = self.progress[source, symbol]
        finality = Finality(self.watermark_delay, self.idle_timeout, self.allowed_lateness)
        return finality.watermark(newest, clock - last_read) >= end_of(interval, start)


# --- which record of a key is the candle ------------------------------------------------------
@dataclass(frozen=True)
class Record:
    """A record of a candle topic; a tombstone has no volume. Each `number` occurs once."""

    number: int
    key: tuple[str, datetime]
    partition: int
    offset: int
    timestamp_ms: int
    volume: int | None
    is_final: bool | None = None
    revision: int | None = None


def newest_records(records: Iterable[Record]) -> dict[tuple[str, datetime], Record]:
    """The newest record of each key that has not been deleted; records in the order of writing."""
    newest = {record.key: record for record in records}
    return {key: record for key, record in newest.items() if record.volume is not None}


def current_records(records: Iterable[Record]) -> dict[tuple[str, datetime], Record]:
    """The record of each key that is the candle, with `is_final` of the candle.

    No candle is final by its watermark.
    """
    current: dict[tuple[str, datetime], Record] = {}
    for record in records:
        before = current.get(record.key)
        if record.volume is None:
            current.pop(record.key, None)
            continue
        if record.revision is not None or before is None:
            current[record.key] = replace(record, is_final=bool(record.is_final))
        elif record.volume >= (before.volume or 0):
            is_final = before.is_final if record.is_final is None else record.is_final
            current[record.key] = replace(record, is_final=is_final)
    return current
