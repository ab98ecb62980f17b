"""A few seconds of the soak, so that it keeps working."""

from pathlib import Path

from tests.faults.brokers import OwnBroker
from tests.faults.soak import Result, Round


def test_a_short_round(broker: OwnBroker, tmp_path: Path) -> None:
    result = Result()
    folder = tmp_path / "round"
    folder.mkdir()
    Round(1, "1/1", broker, folder, rate=200, result=result, show=print).run(15)
    table = result.table(1, 0.25, "")
    print(table)
    assert result.kills > 0
    assert "| violations | 0 |" in table
