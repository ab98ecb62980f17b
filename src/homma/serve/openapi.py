"""The API in OpenAPI's words, made from the same tables that read the parameters. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from homma.core.interval import BY_CODE
from homma.serve import parameters
from homma.serve.api import ARROW
from homma.serve.parameters import Parameter

Document = dict[str, Any]

_NUMBER: Final[Document] = {"type": "number"}
_TEXT: Final[Document] = {"type": "string"}
_CANDLE: Final[Document] = {
    "dateTime": {"type": "string", "format": "date-time", "description": "start, UTC"},
    "time": {"type": "integer", "description": "start, seconds since 1970"},
    "open": _NUMBER,
    "high": _NUMBER,
    "low": _NUMBER,
    "close": _NUMBER,
    "volume": {"type": "integer", "description": "count of ticks"},
    "isFinal": {"type": ["boolean", "null"], "description": "null: another engine did not say"},
    "revision": {
        "type": ["integer", "null"],
        "description": "0 while open, 1 when first final, one more with every correction",
    },
}
_NAMES: Final[Document] = {
    "source": _TEXT,
    "symbol": _TEXT,
    "interval": {"type": "string", "enum": list(BY_CODE)},
}


def _object(properties: Document, optional: Sequence[str] = ()) -> Document:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _list(of: Document) -> Document:
    return {"type": "array", "items": of}


def _of(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


_SCHEMAS: Final[Document] = {
    "Candle": _object(_CANDLE),
    "Update": _object({**_NAMES, **_CANDLE}),
    "Candles": _object(
        {
            **_NAMES,
            "complete": {
                "type": "boolean",
                "description": "false where older candles could not be read just now",
            },
            "candles": _list(_of("Candle")),
        }
    ),
    "Series": _object(
        {
            "source": _TEXT,
            "symbol": _TEXT,
            "split": {
                "type": "boolean",
                "description": "true where it stands in several partitions: its candles are halves",
            },
        },
        ["split"],
    ),
    "Interval": _object({"code": {"type": "string", "enum": list(BY_CODE)}, "name": _TEXT}),
    "Overview": _object(
        {
            "interval": _NAMES["interval"],
            "series": _list(_object({**_NAMES, "candle": _of("Candle"), "closes": _list(_NUMBER)})),
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
            **{name: _list(_NUMBER) for name in "tohlcv"},
            "nextTime": {"type": "integer"},
        },
        [*"tohlcv", "nextTime"],
    ),
}
_LIVE: Final = (
    "Server-sent events. `candle`: a candle as it is now (data: an Update). `gone`: there is none "
    "any more (data: source, symbol, interval, dateTime, time). `reset`: load anew what you show. "
    "Who comes back with Last-Event-ID gets what has changed meanwhile, or `reset`. The header "
    "Last-Event-ID of /api/candles and /api/overview says where to go on from what they gave."
)


def document(version: str, *, token: bool) -> Document:
    """The description of this server."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "homma",
            "version": version,
            "description": "Candles: their history and their changes as they happen.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(),
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}] if token else [],
    }


def _paths() -> Document:
    return {
        "/api/series": _get("Every series there is", (), _object({"series": _list(_of("Series"))})),
        "/api/intervals": _get("The intervals, finest first", (), _list(_of("Interval"))),
        "/api/candles": _candles(),
        "/api/overview": _get(
            "The newest candle of every series", parameters.OVERVIEW, _of("Overview")
        ),
        "/api/live": _live(),
        "/api/login": _login(),
        "/health/live": _get("Whether the server runs", (), _of("Health")),
        "/health/ready": _get(
            "Whether it knows the newest candles",
            (),
            _of("Health"),
            more={"503": _answer("not yet, or not any more", _of("Health"))},
        ),
        "/metrics": {
            "get": {
                "summary": "What is measured, for Prometheus",
                "responses": {
                    "200": {
                        "description": "its text format",
                        "content": {"text/plain": {"schema": _TEXT}},
                    },
                    **_refusals("Problem"),
                },
            }
        },
        "/udf/config": _get("TradingView UDF: what is supported", (), {"type": "object"}),
        "/udf/symbols": _get(
            "TradingView UDF: a symbol",
            parameters.UDF_SYMBOLS,
            {"type": "object"},
            refusal="UdfError",
        ),
        "/udf/search": _get(
            "TradingView UDF: symbols by a part of their name",
            parameters.UDF_SEARCH,
            _list({"type": "object"}),
            refusal="UdfError",
        ),
        "/udf/history": _get(
            "TradingView UDF: bars", parameters.UDF_HISTORY, _of("UdfHistory"), refusal="UdfError"
        ),
        "/udf/time": {
            "get": {
                "summary": "TradingView UDF: the server's clock",
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


def _candles() -> Document:
    found = _get("Candles of one series, oldest first", parameters.CANDLES, _of("Candles"))
    operation = found["get"]
    operation["responses"]["200"]["content"][ARROW] = {
        "schema": {"type": "string", "contentMediaType": ARROW}
    }
    operation["responses"]["304"] = {"description": "as it was when If-None-Match got its ETag"}
    return found


def _live() -> Document:
    found = _get("Changes of candles as they happen", parameters.LIVE, _TEXT)
    operation = found["get"]
    operation["description"] = _LIVE
    operation["responses"]["200"] = {
        "description": "a stream without end",
        "content": {"text/event-stream": {"schema": _TEXT}},
    }
    return found


def _login() -> Document:
    body = _object({"token": {"type": "string", "maxLength": 1024}})
    return {
        "post": {
            "summary": "A cookie for the token",
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
    more: Document | None = None,
) -> Document:
    return {
        "get": {
            "summary": summary,
            "parameters": [_parameter(row) for row in parameters],
            "responses": {
                "200": _answer("what was asked for", schema),
                **_refusals(refusal),
                **(more or {}),
            },
        }
    }


def _parameter(row: Parameter) -> Document:
    schema = {"type": "array", "items": row.schema, "maxItems": 200} if row.many else row.schema
    if not row.required and isinstance(row.default, int | str) and row.name != "interval":
        schema = {**schema, "default": row.default}
    return {
        "name": row.name,
        "in": "query",
        "required": row.required,
        "description": row.help,
        "schema": schema,
    }


def _refusals(schema: str) -> Document:
    kind = "application/problem+json" if schema == "Problem" else "application/json"
    of_guard = {"application/problem+json": {"schema": _of("Problem")}}
    content = {kind: {"schema": _of(schema)}, **of_guard}
    return {"4XX": {"description": "what is wrong, and what to do", "content": content}}


def _answer(description: str, schema: Document) -> Document:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
