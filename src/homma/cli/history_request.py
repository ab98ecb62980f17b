"""What `candles` and `ticks` do with their options: choose the rows, and write them."""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Final

import click
import polars as pl

from homma.cli.history_options import FORMATS, instant_us
from homma.cli.terminal.table import text_table
from homma.errors import SettingError
from homma.lake.history import HistoryQuery, decimals_of, format_values, to_record_fields
from homma.lake.schema import TableSpec
from homma.topics.codec import json_object

#: Without --last and --from, a table shows this many rows of each series.
_TABLE_ROWS: Final = 20
_MAX_TABLE_ROWS: Final = 1_000
#: Rows per write.
_CHUNK: Final = 50_000


class HistoryRequest:
    """The parsed options, and the time of the request."""

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
        origin = click.get_current_context().get_parameter_source("form")
        is_default = origin is click.core.ParameterSource.DEFAULT
        self._form = "json" if as_json else self._file_format(form, is_default=is_default)
        since_us = instant_us(since, self.now_us, "--from")
        if last is None:
            last = _TABLE_ROWS if self._form == "table" and since_us is None else 0
        until_us = instant_us(until, self.now_us, "--to")
        self.query = HistoryQuery(symbol, source, since_us, until_us, last)

    def _file_format(self, form: str, *, is_default: bool) -> str:
        if self._output is None or not is_default:
            return form
        extension = self._output.suffix.removeprefix(".")
        file_format = {"ndjson": "json", "jsonl": "json"}.get(extension, extension)
        return file_format if file_format in FORMATS else form

    def write(self, rows: pl.DataFrame, spec: TableSpec, titles: dict[str, str]) -> None:
        """Write the rows; `titles` names the columns of a table and their titles."""
        records = to_record_fields(rows, spec)
        if self._output is None and self._form == "parquet" and sys.stdout.isatty():
            raise SettingError("Parquet cannot be printed to a terminal", "use --output FILE")
        with self._open_output() as out:
            if self._form == "parquet":
                records.write_parquet(out)
                return
            for text in self._texts(records, titles):
                click.echo(text, file=out, nl=False)

    def _open_output(self) -> AbstractContextManager[IO[bytes]]:
        if self._output is None:
            return nullcontext(sys.stdout.buffer)
        try:
            return self._output.open("wb")
        except OSError as error:
            raise SettingError(
                f"{self._output} cannot be written ({error.strerror})",
                "choose another file",
            ) from error

    def _texts(self, records: pl.DataFrame, titles: dict[str, str]) -> Iterator[bytes]:
        if self._form == "table":
            yield _table(records, titles).encode()
            return
        header, decimals = self._form == "csv", decimals_of(records)
        for chunk in format_values(records).iter_slices(_CHUNK):
            if self._form == "json":
                lines = chunk.select(json_object(chunk.columns, decimals)).to_series()
                yield "".join(f"{line}\n" for line in lines).encode()
            else:
                yield chunk.write_csv(include_header=header).encode()
            header = False


def _table(records: pl.DataFrame, titles: dict[str, str]) -> str:
    if records.is_empty():
        return "no rows\n"
    text = format_values(records.head(_MAX_TABLE_ROWS))
    shown = {name: titles[name] for name in records.columns if name in titles}
    numbers = {title for name, title in shown.items() if records[name].dtype.is_numeric()}
    lines = text_table(text.select(list(shown)).rename(shown), numbers)
    if records.height > _MAX_TABLE_ROWS:
        lines.append(
            f"… {records.height - _MAX_TABLE_ROWS:,} more: select fewer rows, or use --format csv"
        )
    return "\n".join(lines) + "\n"
