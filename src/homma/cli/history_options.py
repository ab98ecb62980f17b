"""What `candles` and `ticks` have in common: which rows are asked for, and how they are written."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import click
import polars as pl

from homma.durations import duration, microseconds
from homma.errors import SettingError
from homma.lake.history import HistoryQuery, texts, told
from homma.lake.schema import TableSpec

FORMATS: Final = ("table", "csv", "json", "parquet")
#: A table on the screen shows so many rows of each series unless more are asked for.
_SHOWN: Final = 20
_LONGEST: Final = 1_000
#: Rows that are written at once.
_PART: Final = 50_000

Verb = Callable[..., None]
OPTIONS: Final = (
    click.option("--source", default="", metavar="SOURCE", help="of this source only"),
    click.option("--from", "since", default="", metavar="TIME", help="from this instant on"),
    click.option("--to", "until", default="", metavar="TIME", help="before this instant"),
    click.option(
        "--last",
        type=click.IntRange(0),
        metavar="N",
        help="the newest N of each series; 0: all  [table without --from: 20, else: 0]",
    ),
    click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        default="table",
        help="how they are written  [table]",
    ),
    click.option("--json", "as_json", is_flag=True, help="the same as --format json"),
    click.option(
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="where to; its ending tells the format unless that is given",
    ),
)


def asks(verb: Verb) -> Verb:
    """Give a verb the options of a question, which come as OPTIONS names them."""
    for option in reversed(OPTIONS):
        verb = option(verb)
    return verb


def instant_us(text: str, now_us: int, flag: str) -> int | None:
    """Microseconds of an instant as people type it; None of an empty text."""
    if not text:
        return None
    try:
        return now_us - microseconds(duration(text))
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingError(
            f"{flag} {text} is no instant",
            "write it as 2025-03-20 or 2025-03-20T14:31, UTC, or how long ago it was, as 90min",
        ) from error
    whole = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return round((whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)


class HistoryRequest:
    """A question as it was typed, and the instant it was asked."""

    def __init__(
        self,
        symbol: str,
        source: str,
        since: str,
        until: str,
        last: int | None,
        form: str,
        as_json: bool,
        output: Path | None,
    ) -> None:
        self.now_us = time.time_ns() // 1000
        self._output = output
        explicit = click.get_current_context().get_parameter_source("form")
        by_default = explicit is click.core.ParameterSource.DEFAULT
        self._form = "json" if as_json else self._of_file(form, by_default=by_default)
        since_us = instant_us(since, self.now_us, "--from")
        if last is None:
            last = _SHOWN if self._form == "table" and since_us is None else 0
        until_us = instant_us(until, self.now_us, "--to")
        self.wanted = HistoryQuery(symbol, source, since_us, until_us, last)

    def _of_file(self, form: str, *, by_default: bool) -> str:
        if self._output is None or not by_default:
            return form
        ending = self._output.suffix.removeprefix(".")
        known = {"ndjson": "json", "jsonl": "json"}.get(ending, ending)
        return known if known in FORMATS else form

    def answer(self, rows: pl.DataFrame, spec: TableSpec, shown: dict[str, str]) -> None:
        """Write the rows; `shown` are the columns of a table on the screen, with their titles."""
        found = told(rows, spec)
        if self._output is None and self._form == "parquet" and sys.stdout.isatty():
            raise SettingError("Parquet is nothing to read on a screen", "name a file by --output")
        with self._opened() as out:
            if self._form == "parquet":
                found.write_parquet(out)
                return
            for text in self._texts(found, shown):
                click.echo(text, file=out, nl=False)

    def _opened(self) -> AbstractContextManager[IO[bytes]]:
        if self._output is None:
            return nullcontext(sys.stdout.buffer)
        try:
            return self._output.open("wb")
        except OSError as error:
            raise SettingError(
                f"{self._output} cannot be written ({error.strerror})", "name another file"
            ) from error

    def _texts(self, found: pl.DataFrame, shown: dict[str, str]) -> Iterator[bytes]:
        if self._form == "table":
            yield _table(found, shown).encode()
            return
        header = self._form == "csv"
        for part in texts(found).iter_slices(_PART):
            if self._form == "json":
                yield part.write_ndjson().encode()
            else:
                yield part.write_csv(include_header=header).encode()
            header = False


def _table(found: pl.DataFrame, shown: dict[str, str]) -> str:
    if found.is_empty():
        return "there is nothing\n"
    columns: list[list[str]] = []
    text = texts(found.head(_LONGEST))
    for name, title in shown.items():
        cells = [title, *text[name].cast(pl.String).fill_null("").to_list()]
        width = max(map(len, cells))
        right = found[name].dtype.is_numeric()
        columns.append([cell.rjust(width) if right else cell.ljust(width) for cell in cells])
    lines = ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
    if found.height > _LONGEST:
        lines.append(f"… {found.height - _LONGEST:,} more: ask for less, or with --format csv")
    return "\n".join(lines) + "\n"
