"""The schemas compared with the checks in core, and the AsyncAPI document with its specification.

`asyncapi-3.0.0.schema.json.gz` is the complete JSON Schema of AsyncAPI, from the npm package
@asyncapi/specs 6.11.1 (Apache-2.0, copyright AsyncAPI Initiative).
"""

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from homma.core.calendar import DEFAULT_CODES, calendar_of
from homma.core.fields import CANDLE_FIELDS, TICK_FIELDS
from homma.core.tick import FIELDS, JSON_SCHEMA, TickRules, check
from homma.partitions.origin import RecordOrigin
from homma.settings import TopicSettings
from homma.topics import asyncapi, contract, schemas
from homma.topics.codec import decode_ticks
from homma.topics.offset_metadata import candle_headers
from tests.support.pipeline import Pipeline, tick
from tests.topics.tick_texts import INVALID_NUMBERS, NUMBERS, OTHER_TEXTS, with_, without

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"
TICK = Draft202012Validator(schemas.tick())
CANDLE = Draft202012Validator(schemas.candle())
KEY = Draft202012Validator(schemas.candle_key())
#: Golden ticks with rules that a schema cannot express, by words of their comments.
BEYOND_A_SCHEMA = (
    "number with a fraction",
    "number an exponent",
    "-02-30",
    "-02-29",
    "-04-31",
    "of a repeated key",
    "ahead",
    "surrogate",
    "digits after the point",
    "10^26",
    "exactly the bound",
)


def parsed(value: bytes) -> Any:
    """The value as JSON. Raises ValueError if it is not JSON."""

    def reject(text: str) -> None:
        raise ValueError(text)

    return json.loads(value.decode(), parse_constant=reject)


def rejected_by_core(value: bytes) -> bool:
    raw = decode_ticks([value]).with_columns(timestamp_us=pl.lit(1 << 60))
    return check(raw, TickRules(0))["error"][0] is not None


def golden_ticks() -> Iterator[tuple[str, bytes, bool]]:
    """Comment, value, and whether the tick must be rejected."""
    for path in sorted(GOLDEN.glob("*.json")):
        for case in json.loads(path.read_text("utf-8"))["cases"]:
            if case.get("settings", {}).get("prices") == "any":
                continue  # The schema has the default, positive prices.
            dead = {row["tick"] for row in case["expect"].get("dead", [])}
            for number, step in enumerate(case["ticks"]):
                if "record" in step:
                    yield step["comment"], json.dumps(step["record"]).encode(), number in dead
                elif "text" in step:
                    yield step["comment"], step["text"].encode(), number in dead
                elif "base64" in step:
                    yield step["comment"], base64.b64decode(step["base64"]), number in dead


def test_all_schemas_are_valid() -> None:
    for schema in (schemas.tick(), schemas.candle(), schemas.candle_key()):
        Draft202012Validator.check_schema(schema)


def test_golden_ticks() -> None:
    counts = {True: 0, False: 0}
    for comment, value, dead in golden_ticks():
        try:
            fields = parsed(value)
        except (ValueError, UnicodeDecodeError):
            assert dead or "surrogate" in comment, comment
            continue
        valid = TICK.is_valid(fields)
        if any(words in comment for words in BEYOND_A_SCHEMA):
            continue
        if not dead and "even if the second is invalid" in comment:
            continue
        counts[dead] += 1
        assert valid is not dead, comment
    assert counts[True] > 100
    assert counts[False] > 100


@pytest.mark.parametrize("field", [field.json for field in TICK_FIELDS])
def test_core_rejects_all_ticks_that_the_schema_rejects(field: str) -> None:
    texts = [
        *NUMBERS,
        *INVALID_NUMBERS,
        *OTHER_TEXTS,
        '"2025-03-20T14:31:28"',
        '"2025-03-20T14:31:28Z"',
        '"2025-03-20T14:31:28\\n"',
        '"1969-12-31T23:59:59"',
        '"2025-13-20T14:31:28"',
        '"2025-03-20T24:00:00"',
        '"2025-03-20T14:31:28.1234567"',
        '"a\\n"',
        '"a b"',
        '"é"',
        '"' + "x" * 64 + '"',
        '"' + "é" * 64 + '"',
        '"' + "x" * 65 + '"',
    ]
    counts = {True: 0, False: 0}
    for value in (*(with_(**{field: text}) for text in texts), without(field)):
        try:
            fields = parsed(value)
        except (ValueError, UnicodeDecodeError):
            continue
        valid = TICK.is_valid(fields)
        counts[valid] += 1
        if not valid:
            assert rejected_by_core(value), f"core accepts {value!r}"
    assert counts[True]
    assert counts[False]


def test_required_and_nullable_fields() -> None:
    schema = schemas.tick()
    assert schema["required"] == [field.json for field in TICK_FIELDS if field.required]
    assert list(schema["properties"]) == JSON_SCHEMA.names()
    nullable = {
        name
        for name, rule in schema["properties"].items()
        if "null" in rule.get("type", ()) or None in rule.get("enum", ())
    }
    assert nullable == {field.json for field in TICK_FIELDS if not field.required}
    assert schema["additionalProperties"] is True


def test_the_types_match_the_columns_of_the_codec() -> None:
    kinds = {
        pl.String: "string",
        pl.Float64: "number",
        pl.Int64: "integer",
        pl.Int32: "integer",
        pl.Boolean: "boolean",
        pl.Decimal: "number",
    }
    for schema, columns in ((schemas.tick(), FIELDS), (schemas.candle(), CANDLE_JSON)):
        assert list(schema["properties"]) == list(columns)
        for name, dtype in columns.items():
            # `side` has its values instead of a type.
            kind = schema["properties"][name].get("type", "string")
            assert kinds[type(dtype)] in ([kind] if isinstance(kind, str) else kind), name


#: The type of each field in a record of a candle.
CANDLE_JSON = {
    field.json: pl.String() if field.kind == "instant" else field.dtype for field in CANDLE_FIELDS
}


def candle_value(**more: Any) -> dict[str, Any]:
    """The value of a final candle."""
    return {
        "source": "S",
        "symbol": "A",
        "dateTime": "2025-03-20T14:31:00.000",
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": 1.5,
        "volume": 7,
        "openDateTime": "2025-03-20T14:31:00.000001",
        "openNumber": 1,
        "closeDateTime": "2025-03-20T14:31:59.999999",
        "closeNumber": 9,
        "isFinal": True,
        "revision": 1,
        "updateDateTime": "2025-03-20T14:32:02.000000",
        **more,
    }


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"isFinal": False, "revision": 0},
        {"revision": 5},
        {"isFinal": None, "revision": None, "updateDateTime": None},
        {"more": [1]},
    ],
)
def test_valid_candles(more: dict[str, Any]) -> None:
    CANDLE.validate(candle_value(**more))


@pytest.mark.parametrize(
    "more",
    [
        {"isFinal": True, "revision": 0},
        {"isFinal": False, "revision": 1},
        {"volume": 0},
        {"volume": 1.5},
        {"open": 0},
        {"open": "1"},
        {"dateTime": "2025-03-20T14:31:00"},
        {"dateTime": "2025-03-20T14:31:00.000000"},
        {"dateTime": "2025-03-20T14:31:00.000Z"},
        {"openDateTime": "2025-03-20T14:31:00.000"},
        {"openNumber": -1},
        {"source": 'a"b'},
        {"symbol": ""},
        {"revision": 1 << 31},
    ],
)
def test_invalid_candles(more: dict[str, Any]) -> None:
    assert not CANDLE.is_valid(candle_value(**more))


def test_required_fields_of_a_candle() -> None:
    required = {field.json for field in CANDLE_FIELDS if field.in_every_record}
    optional = {field.json for field in CANDLE_FIELDS} - required
    assert optional == {"tickCount", "turnover", "isFinal", "revision", "updateDateTime"}
    for name in CANDLE_JSON:
        fields = {key: value for key, value in candle_value().items() if key != name}
        assert CANDLE.is_valid(fields) is (name in optional), name


def test_candles_of_the_engine(bootstrap: str) -> None:
    pipeline = Pipeline(bootstrap)
    minutes = [f"2025-03-20T14:{m}:{s}.123456" for m in range(10, 15) for s in (10, 50)]
    pipeline.send(*(tick(at, 1e-9, n, bid=5e-324) for n, at in enumerate(minutes)))
    pipeline.send(tick(minutes[0], 3.5, 99, symbol="é B", source="7"))
    pipeline.work_off()
    pipeline.send(tick(minutes[1], 1e300, 77))  # corrects final candles
    pipeline.work_off()
    records = pipeline.records(*pipeline.topics.candles.values())
    assert len(records) > 2 * len(DEFAULT_CODES)
    states = set()
    headers = asyncapi.document("0")["components"]["messages"]["candle"]["headers"]
    for record in records:
        value = json.loads(record.value() or b"")
        CANDLE.validate(value)
        KEY.validate(json.loads(record.key() or b""))
        record_headers: list[tuple[str, bytes]] = record.headers()  # type: ignore[assignment]
        Draft202012Validator(headers).validate(
            {name: text.decode() for name, text in record_headers}
        )
        states.add((value["isFinal"], min(value["revision"], 2)))
    assert states == {(False, 0), (True, 1), (True, 2)}


def test_asyncapi_conforms_to_its_specification() -> None:
    specification = json.loads(
        gzip.decompress((HERE / "asyncapi-3.0.0.schema.json.gz").read_bytes())
    )
    document = asyncapi.document("1.2.3")
    Draft7Validator(specification).validate(document)
    document["channels"]["stock_ticks"]["adress"] = "a typo"
    assert not Draft7Validator(specification).is_valid(document)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from references(child)


def test_asyncapi_references_exist() -> None:
    document = asyncapi.document("0")
    all_references = set(references(document))
    assert len(all_references) > 30
    for reference in all_references:
        assert reference.startswith("#/")
        node = document
        for part in reference[2:].split("/"):
            node = node[part.replace("~1", "/").replace("~0", "~")]


def test_asyncapi_describes_every_topic_of_the_contract() -> None:
    document = asyncapi.document("0")
    specs = contract.specs(TopicSettings(), TopicSettings().partitions)
    assert list(document["channels"]) == [spec.name for spec in specs]
    for spec in specs:
        bound = document["channels"][spec.name]["bindings"]["kafka"]
        assert bound["partitions"] == spec.partitions
        config = bound["topicConfiguration"]
        assert config["retention.ms"] == int(spec.config["retention.ms"])
        assert ",".join(config["cleanup.policy"]) == spec.config["cleanup.policy"]
    actions = {(o["action"], o["channel"]["$ref"]) for o in document["operations"].values()}
    for topic in contract.topics(TopicSettings()).candles.values():
        assert {("send", f"#/channels/{topic}"), ("receive", f"#/channels/{topic}")} <= actions


def test_asyncapi_has_the_topics_of_other_intervals_but_no_internal_one() -> None:
    settings = TopicSettings(intervals=calendar_of(["s1", "m1"]))
    document = asyncapi.document("0", settings)
    assert tuple(document["channels"]) == contract.topics(settings).all()
    assert {"sendCandles1sec", "receiveCandles1min"} <= document["operations"].keys()


def test_asyncapi_has_the_written_headers() -> None:
    messages = asyncapi.document("0")["components"]["messages"]
    written = dict(candle_headers("r", 1))
    assert set(messages["candle"]["headers"]["properties"]) == set(written)
    headers = dict(RecordOrigin("t", 0, 1, None, []).rejected_headers("e"))
    for name in ("deadTick", "lateTick"):
        assert set(messages[name]["headers"]["properties"]) == set(headers)
        Draft202012Validator(messages[name]["headers"]).validate(headers)
