"""The topics as an AsyncAPI 3.0 document: who writes what where, in which form. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from homma.core.interval import INTERVALS
from homma.settings import AggregateSettings, KafkaSettings, TopicSettings
from homma.topics import contract, schemas
from homma.topics.contract import TopicSpec

Object = dict[str, Any]

#: The version of the bindings between AsyncAPI and Kafka.
_BINDING: Final = "0.5.0"
#: Topic settings that the binding wants as numbers or lists, not as Kafka's texts.
_NUMBERS: Final = ("retention.ms", "delete.retention.ms", "max.message.bytes")
_TEXT: Final = {"type": "string"}
_DIGITS: Final = {"type": "string", "pattern": "^[0-9]+$"}


def document(version: str) -> Object:
    """The whole document for the default settings; `version` is homma's own."""
    topics = TopicSettings()
    specs = contract.specs(topics, topics.partitions)
    names = contract.topics(topics)
    messages = {names.ticks: ["tick"], names.dead: ["deadTick"], names.late: ["lateTick"]}
    messages |= {topic: ["candle", "noCandle"] for topic in names.candles}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "homma",
            "version": version,
            "description": "Real-time candlesticks from ticks. Topic names, partitions and "
            "retention are settings; this document shows their defaults.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {spec.name: _channel(spec, messages[spec.name]) for spec in specs},
        "operations": _operations(names, messages),
        "components": {
            "messages": _messages(),
            "schemas": {
                "tick": _embedded(schemas.tick()),
                "candle": _embedded(schemas.candle()),
            },
            "securitySchemes": {
                "login": {"type": "plain", "description": "SASL PLAIN over TLS"},
            },
        },
    }


def _embedded(schema: Object) -> Object:
    # AsyncAPI has one dialect for all of its schemas, in which ours mean the same.
    return {name: value for name, value in schema.items() if name != "$schema"}


def _servers() -> Object:
    return {
        "local": {
            "host": KafkaSettings().bootstrap_servers,
            "protocol": "kafka",
            "description": "what `homma up` starts",
        },
        "cluster": {
            "host": "{bootstrap}",
            "protocol": "kafka-secure",
            "description": "any other cluster, such as Confluent Cloud",
            "variables": {"bootstrap": {"description": "host:port of a broker"}},
            "security": [{"$ref": "#/components/securitySchemes/login"}],
        },
    }


def _channel(spec: TopicSpec, messages: list[str]) -> Object:
    return {
        "address": spec.name,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "topicConfiguration": _configuration(spec.config),
                "bindingVersion": _BINDING,
            }
        },
    }


def _configuration(config: Mapping[str, str]) -> Object:
    typed: Object = dict(config)
    typed["cleanup.policy"] = config["cleanup.policy"].split(",")
    return typed | {name: int(config[name]) for name in _NUMBERS if name in config}


def _operations(names: contract.Topics, messages: Mapping[str, list[str]]) -> Object:
    found = {
        "sendTicks": _operation("send", names.ticks, messages, "ticks, by generate and replay"),
        "receiveTicks": _operation("receive", names.ticks, messages, "ticks, by the engine"),
        "sendDeadTicks": _operation("send", names.dead, messages, "ticks that break a rule"),
        "sendLateTicks": _operation("send", names.late, messages, "ticks that are too late"),
    }
    found["receiveTicks"]["bindings"] = {
        "kafka": {
            "groupId": {"type": "string", "default": AggregateSettings().group},
            "bindingVersion": _BINDING,
        }
    }
    for interval, topic in zip(INTERVALS, names.candles, strict=True):
        what = f"candles of {interval.name} ({interval.code})"
        found[f"sendCandles{interval.name}"] = _operation(
            "send", topic, messages, f"{what}, in transactions with the offset of their ticks"
        )
        found[f"receiveCandles{interval.name}"] = _operation(
            "receive", topic, messages, f"{what}, with isolation.level read_committed"
        )
    return found


def _operation(action: str, topic: str, messages: Mapping[str, list[str]], summary: str) -> Object:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"} for name in messages[topic]],
    }


def _messages() -> Object:
    tick_key = {"type": "string", "description": "SOURCE:SYMBOL, so that a series stays together"}
    any_key = {"description": "as the tick had it"}
    # Written out: the binding's own schema does not take a reference here.
    candle_key = _embedded(schemas.candle_key())
    return {
        "tick": _message("a quote of an instrument", tick_key, _ref("tick")),
        "deadTick": _message(
            "a record that breaks a rule, byte for byte, its own headers first",
            any_key,
            {"description": "any bytes"},
            _refused_headers(),
            content="application/octet-stream",
        ),
        "lateTick": _message(
            "a tick too late for its candles, its own headers first",
            any_key,
            _ref("tick"),
            _refused_headers(),
        ),
        "candle": _message(
            "a candle, open or final; the newest record of a key counts",
            candle_key,
            _ref("candle"),
            _candle_headers(),
        ),
        "noCandle": _message(
            "a tombstone: there is no candle of this key (any more)",
            candle_key,
            {"type": "null"},
            None,
        ),
    }


def _ref(schema: str) -> Object:
    return {"$ref": f"#/components/schemas/{schema}"}


def _message(
    summary: str,
    key: Object,
    payload: Object,
    headers: Object | None = None,
    content: str = "application/json",
) -> Object:
    bound = {"kafka": {"key": key, "bindingVersion": _BINDING}}
    found = {"summary": summary, "contentType": content, "payload": payload, "bindings": bound}
    return found if headers is None else {**found, "headers": headers}


def _refused_headers() -> Object:
    return {
        "type": "object",
        "required": ["error", "topic", "partition", "offset"],
        "properties": {
            "error": {**_TEXT, "description": "why: the field and the rule it breaks"},
            "topic": {**_TEXT, "description": "where the record stood"},
            "partition": _DIGITS,
            "offset": _DIGITS,
        },
    }


def _candle_headers() -> Object:
    """Not required: other engines write candles without them."""
    return {
        "type": "object",
        "properties": {
            "run": {**_TEXT, "description": "which sequence of restarts made the candle"},
            "ticksBefore": {
                **_DIGITS,
                "description": "all ticks before this offset of its partition are in it",
            },
        },
    }
