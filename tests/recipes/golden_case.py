"""A golden case of two ticks, as the text of a file."""

import json
from typing import Any

#: What every engine makes of the two ticks, in an interval of a minute.
CANDLE: dict[str, Any] = {
    "source": "S",
    "symbol": "A",
    "dateTime": "2025-03-20T14:31:00.000",
    "open": 10.0,
    "high": 12.0,
    "low": 10.0,
    "close": 12.0,
    "volume": 2,
    "openDateTime": "2025-03-20T14:31:28.000000",
    "openNumber": 1,
    "closeDateTime": "2025-03-20T14:31:29.000000",
    "closeNumber": 2,
    "isFinal": False,
    "revision": 0,
}


def golden_case(interval: str = "1min", codes: tuple[str, ...] = ("m1",), **fields: Any) -> str:
    """The file with a case of these intervals; `fields` replace those of the expected candle."""
    ticks = [
        {
            "source": "S",
            "symbol": "A",
            "ask": price + 1,
            "bid": price - 1,
            "mid": price,
            "number": number,
            "dateTime": f"2025-03-20T14:31:{27 + number}.000",
        }
        for number, price in ((1, 10), (2, 12))
    ]
    case = {
        "name": "two ticks",
        "settings": {"intervals": list(codes)},
        "ticks": [{"comment": "a tick", "record": tick} for tick in ticks],
        "expect": {
            "candles": {interval: [CANDLE | fields]},
            "dead": [],
            "late": [],
            "duplicates": 0,
        },
    }
    return json.dumps({"cases": [case]})
