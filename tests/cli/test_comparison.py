"""What `homma verify` and `homma repair` print."""

import polars as pl
import pytest

from homma.cli.comparison import progress
from homma.core.recompute import TICKS, Slice


def slices() -> list[Slice]:
    tick = {"source": "S", "symbol": "A", "event_us": 1_742_481_088_000_000, "number": 1}
    rest = {"price": 1.0, "traded_volume": 0, "turnover": 0, "partition": 0, "offset": 0}
    return [
        Slice(0, 1, pl.DataFrame({**tick, **rest}, schema=TICKS)),
        Slice(1, 2, TICKS.to_frame()),
    ]


def test_a_terminal_shows_the_event_time_and_clears_it_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress() as show:
        for piece in slices():
            show(piece)
    error = capsys.readouterr().err
    assert error.count("2025-03-20T14:31:28") == 1
    assert error.endswith("\r\x1b[K")


def test_a_file_gets_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as show:
        for piece in slices():
            show(piece)
    assert capsys.readouterr().err == ""
