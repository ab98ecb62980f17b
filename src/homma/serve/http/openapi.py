"""The OpenAPI description, built from the tables that parse the parameters. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from homma.core.calendar import Calendar
from homma.core.fields import CandleField, Kind
from homma.serve.http import parameters
from homma.serve.http.api import ARROW
from homma.serve.http.parameters import CalendarParameters, Parameter
from homma.serve.wire import START, meaning_of
from homma.topics.candle import PUBLIC_VALUES, may_be_null

Document = dict[str, Any]

_NUMBER: Final[Document] = {"type": "number"}
_TEXT: Final[Document] = {"type": "string"}
_TYPES: Final[dict[Kind, Document]] = {
    "string": _TEXT,
    "double": _NUMBER,
    "decimal": _NUMBER,
    "long": {"type": "integer"},
    "int": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "instant": {"type": "string", "format": "date-time"},
}


_EXACT: Final = "Exact: a number without an exponent and without zeros at the end."
_NOT_RECORDED: Final = "null: the engine that wrote the candle does not record it."
_OF_QUOTES: Final = "null: the candle is made of quotes."


def _field(field: CandleField) -> Document:
    schema = _TYPES[field.kind]
    if field.json == "volume":
        return {**_NUMBER, "description": f"{meaning_of(field)} {_EXACT}"}
    meaning = f"{field.meaning} {_EXACT}" if field.kind == "decimal" else field.meaning
    if not may_be_null(field):
        return {**schema, "description": meaning}
    null = _OF_QUOTES if field.of == "trade" else _NOT_RECORDED
    return {**schema, "type": [schema["type"], "null"], "description": f"{meaning} {null}"}


_CANDLE: Final[Document] = {
    START.json: _field(START),
    "time": {"type": "integer", "description": "Start of the interval, seconds since 1970."},
    **{field.json: _field(field) for field in PUBLIC_VALUES},
}


_SILENCE: Final[Document] = {
    "type": ["integer", "null"],
    "description": "Milliseconds since a candle of the series was last written to Kafka. null: "
    "memory has no record of the series.",
}


def _object(properties: Document, optional: Sequence[str] = ()) -> Document:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _array(items: Document) -> Document:
    return {"type": "array", "items": items}


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas(codes: Sequence[str]) -> Document:
    code = {"type": "string", "enum": list(codes)}
    key = {"source": _TEXT, "symbol": _TEXT, "interval": code}
    return {
        "Candle": _object(_CANDLE),
        "Update": _object({**key, **_CANDLE}),
        "Candles": _object(
            {
                **key,
                "complete": {
                    "type": "boolean",
                    "description": "false if older candles could not be read",
                },
                "candles": _array(_ref("Candle")),
            }
        ),
        "Series": _object(
            {
                "source": _TEXT,
                "symbol": _TEXT,
                "recentTicks": {
                    "type": "integer",
                    "description": "ticks in the hour before the newest candle of all series",
                },
                "split": {
                    "type": "boolean",
                    "description": "true if several partitions have it: its candles are incomplete",
                },
            },
            ["split"],
        ),
        "Interval": _object({"code": code, "name": _TEXT}),
        "Overview": _object(
            {
                "interval": code,
                "series": _array(
                    _object(
                        {
                            **key,
                            "silenceMs": _SILENCE,
                            "candle": _ref("Candle"),
                            "closes": _array(_NUMBER),
                        }
                    )
                ),
            }
        ),
        "Health": _object({"status": _TEXT, "detail": _TEXT}, ["detail"]),
        "Problem": _object(
            {
                "type": _TEXT,
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT,
                "parameter": _TEXT,
            },
            ["parameter"],
        ),
        "UdfError": _object({"s": {"const": "error"}, "errmsg": _TEXT}),
        "UdfHistory": _object(
            {
                "s": {"type": "string", "enum": ["ok", "no_data"]},
                **{name: _array(_NUMBER) for name in "tohlc"},
                "v": {**_array(_NUMBER), "description": _UDF_VOLUME},
                "nextTime": {"type": "integer"},
            },
            [*"tohlcv", "nextTime"],
        ),
    }


_LIVE: Final = (
    "Server-sent events. `candle`: the current version of a candle (data: an Update). `deleted`: "
    "the candle no longer exists (data: source, symbol, interval, dateTime, time). `reset`: reload "
    "everything you show. Clients that reconnect with Last-Event-ID receive what has changed in "
    "the meantime, or `reset`. The Last-Event-ID header of /api/candles and /api/overview is the "
    "position from which a stream continues their answer."
)


_UDF_VOLUME: Final = (
    "The volumes; of trades the double that is nearest to the exact size. `volume_precision` of "
    "/udf/symbols is the number of digits after the point that the newest of them need."
)
_ARROW: Final = (
    "The fields of a candle as columns, without `time`. `volume` is Int64 if the series is made of "
    "quotes, and Decimal(38, 12) if it is made of trades; `turnover` is Decimal(38, 12)."
)


def document(version: str, calendar: Calendar, *, token: bool) -> Document:
    """The OpenAPI document of this server; `token`: whether requests need one."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "homma",
            "version": version,
            "description": "Candles: history, and changes as they happen.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(parameters.of_calendar(calendar)),
        "components": {
            "schemas": _schemas(calendar.codes),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if token else [],
    }


def _paths(rows: CalendarParameters) -> Document:
    return {
        "/api/series": _get("All series", (), _object({"series": _array(_ref("Series"))})),
        "/api/intervals": _get("All intervals, shortest first", (), _array(_ref("Interval"))),
        "/api/candles": _candles(rows.candles),
        "/api/overview": _get("The newest candle of every series", rows.overview, _ref("Overview")),
        "/api/live": _live(rows.live),
        "/api/login": _login(),
        "/health/live": _get("Whether the server is running", (), _ref("Health")),
        "/health/ready": _get(
            "Whether the server has read the newest candles",
            (),
            _ref("Health"),
            other_responses={"503": _answer("not ready", _ref("Health"))},
        ),
        "/metrics": {
            "get": {
                "summary": "Metrics for Prometheus",
                "responses": {
                    "200": {
                        "description": "Prometheus text format",
                        "content": {"text/plain": {"schema": _TEXT}},
                    },
                    **_refusals("Problem"),
                },
            }
        },
        "/udf/config": _get("TradingView UDF: supported features", (), {"type": "object"}),
        "/udf/symbols": _get(
            "TradingView UDF: a symbol",
            parameters.UDF_SYMBOLS,
            {"type": "object"},
            refusal="UdfError",
        ),
        "/udf/search": _get(
            "TradingView UDF: symbols that contain a text",
            parameters.UDF_SEARCH,
            _array({"type": "object"}),
            refusal="UdfError",
        ),
        "/udf/history": _get(
            "TradingView UDF: bars", rows.udf_history, _ref("UdfHistory"), refusal="UdfError"
        ),
        "/udf/time": {
            "get": {
                "summary": "TradingView UDF: the server's time",
                "responses": {
                    "200": {
                        "description": "seconds since 1970",
                        "content": {"text/plain": {"schema": _TEXT}},
                    },
                    **_refusals("UdfError"),
                },
            }
        },
    }


def _candles(rows: Sequence[Parameter]) -> Document:
    path = _get("Candles of one series, oldest first", rows, _ref("Candles"))
    operation = path["get"]
    operation["responses"]["200"]["content"][ARROW] = {
        "schema": {"type": "string", "contentMediaType": ARROW, "description": _ARROW}
    }
    operation["responses"]["304"] = {"description": "unchanged since the ETag in If-None-Match"}
    return path


def _live(rows: Sequence[Parameter]) -> Document:
    path = _get("Candle changes as they happen", rows, _TEXT)
    operation = path["get"]
    operation["description"] = _LIVE
    operation["responses"]["200"] = {
        "description": "an endless stream",
        "content": {"text/event-stream": {"schema": _TEXT}},
    }
    return path


def _login() -> Document:
    body = _object({"token": {"type": "string", "maxLength": 1024}})
    return {
        "post": {
            "summary": "Exchange the token for a cookie",
            "security": [],
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {"204": {"description": "the cookie is set"}, **_refusals("Problem")},
        }
    }


def _get(
    summary: str,
    parameters: Sequence[Parameter],
    schema: Document,
    *,
    refusal: str = "Problem",
    other_responses: Document | None = None,
) -> Document:
    return {
        "get": {
            "summary": summary,
            "parameters": [_parameter(row) for row in parameters],
            "responses": {
                "200": _answer("success", schema),
                **_refusals(refusal),
                **(other_responses or {}),
            },
        }
    }


def _parameter(row: Parameter) -> Document:
    schema = (
        {"type": "array", "items": row.schema, "maxItems": 200} if row.is_repeatable else row.schema
    )
    if not row.is_required and isinstance(row.default, int | str):
        schema = {**schema, "default": row.default}
    return {
        "name": row.name,
        "in": "query",
        "required": row.is_required,
        "description": row.help,
        "schema": schema,
    }


def _refusals(schema: str) -> Document:
    kind = "application/problem+json" if schema == "Problem" else "application/json"
    guard_content = {"application/problem+json": {"schema": _ref("Problem")}}
    content = {kind: {"schema": _ref(schema)}, **guard_content}
    return {
        "4XX": {
            "description": "the request was refused: what is wrong, and what to do",
            "content": content,
        }
    }


def _answer(description: str, schema: Document) -> Document:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
