"""The topics as an AsyncAPI 3.0 document: channels, operations and message formats. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from homma.core.interval import BY_CODE
from homma.settings import AggregateSettings, KafkaSettings, TopicSettings
from homma.topics import contract, schemas
from homma.topics.contract import TopicSpec

Object = dict[str, Any]

#: The version of AsyncAPI's Kafka bindings.
_BINDING: Final = "0.5.0"
#: Topic settings that are numbers in the binding; Kafka's API has them as strings.
_NUMBERS: Final = ("retention.ms", "delete.retention.ms", "max.message.bytes")
_TEXT: Final = {"type": "string"}
_DIGITS: Final = {"type": "string", "pattern": "^[0-9]+$"}


def document(version: str, topics: TopicSettings | None = None) -> Object:
    """The document for the default settings, or for others. `version` is homma's version."""
    topics = topics or TopicSettings()
    specs = contract.specs(topics, topics.partitions)
    names = contract.topics(topics)
    messages = {names.ticks: ["tick"], names.dead: ["deadTick"], names.late: ["lateTick"]}
    messages |= {topic: ["candle", "noCandle"] for topic in names.public_candles.values()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "homma",
            "version": version,
            "description": "Real-time candles from ticks. Topic names, partition counts and "
            "retention are configurable; this document shows the defaults.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {
            spec.name: _channel(spec, messages[spec.name])
            for spec in specs
            if spec.name in messages
        },
        "operations": _operations(names, messages),
        "components": {
            "messages": _messages(),
            "schemas": {
                "tick": _embedded(schemas.tick()),
                "candle": _embedded(schemas.candle()),
            },
            "securitySchemes": {
                "login": {"type": "plain", "description": "SASL/PLAIN over TLS."},
            },
        },
    }


def _embedded(schema: Object) -> Object:
    # AsyncAPI sets one dialect for all schemas. Our schemas mean the same in that dialect.
    return {name: value for name, value in schema.items() if name != "$schema"}


def _servers() -> Object:
    return {
        "local": {
            "host": KafkaSettings().bootstrap_servers,
            "protocol": "kafka",
            "description": "The broker that `homma up` starts.",
        },
        "cluster": {
            "host": "{bootstrap}",
            "protocol": "kafka-secure",
            "description": "Any other Kafka cluster, such as Confluent Cloud.",
            "variables": {"bootstrap": {"description": "Address of a broker, host:port."}},
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
    operations = {
        "sendTicks": _operation(
            "send", names.ticks, messages, "Send ticks, as `generate` and `replay` do."
        ),
        "receiveTicks": _operation(
            "receive", names.ticks, messages, "Receive ticks, as the engine does."
        ),
        "sendDeadTicks": _operation("send", names.dead, messages, "Send dead letters."),
        "sendLateTicks": _operation("send", names.late, messages, "Send ticks dropped as late."),
    }
    operations["receiveTicks"]["bindings"] = {
        "kafka": {
            "groupId": {"type": "string", "default": AggregateSettings().group},
            "bindingVersion": _BINDING,
        }
    }
    for code, topic in names.public_candles.items():
        interval = BY_CODE[code]
        candles = f"{interval.name} candles ({interval.code})"
        operations[f"sendCandles{interval.name}"] = _operation(
            "send",
            topic,
            messages,
            f"Send {candles} and commit the offset of their ticks in one transaction.",
        )
        operations[f"receiveCandles{interval.name}"] = _operation(
            "receive",
            topic,
            messages,
            f"Receive {candles}. Use isolation.level=read_committed.",
        )
    return operations


def _operation(action: str, topic: str, messages: Mapping[str, list[str]], summary: str) -> Object:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"} for name in messages[topic]],
    }


def _messages() -> Object:
    tick_key = {
        "type": "string",
        "description": "SOURCE:SYMBOL. The key keeps all ticks of a series in one partition.",
    }
    original_key = {"description": "The key of the original record."}
    # Embedded, because the binding does not allow a reference here.
    candle_key = _embedded(schemas.candle_key())
    return {
        "tick": _message("A quote of an instrument.", tick_key, _ref("tick")),
        "deadTick": _message(
            "A dead letter: an invalid record, unchanged, with headers added after its own.",
            original_key,
            {"description": "Any bytes: the value of the original record."},
            _added_headers(),
            content="application/octet-stream",
        ),
        "lateTick": _message(
            "A tick that was dropped as late, unchanged, with headers added after its own.",
            original_key,
            _ref("tick"),
            _added_headers(),
        ),
        "candle": _message(
            "An open or final candle. The newest record of a key is the current candle.",
            candle_key,
            _ref("candle"),
            _candle_headers(),
        ),
        "noCandle": _message(
            "A tombstone: there is no candle with this key (any more).",
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
    bindings = {"kafka": {"key": key, "bindingVersion": _BINDING}}
    message = {"summary": summary, "contentType": content, "payload": payload, "bindings": bindings}
    return message if headers is None else {**message, "headers": headers}


def _added_headers() -> Object:
    return {
        "type": "object",
        "required": ["error", "topic", "partition", "offset"],
        "properties": {
            "error": {
                **_TEXT,
                "description": "Why the record was rejected: the field and its rule.",
            },
            "topic": {**_TEXT, "description": "Topic of the original record."},
            "partition": {**_DIGITS, "description": "Partition of the original record."},
            "offset": {**_DIGITS, "description": "Offset of the original record."},
        },
    }


def _candle_headers() -> Object:
    """Optional, because other engines write candles without these headers."""
    return {
        "type": "object",
        "properties": {
            "run": {
                **_TEXT,
                "description": "Id of the run that wrote the candle. A restart continues the run; "
                "a rebuild starts a new one.",
            },
            "ticksBefore": {
                **_DIGITS,
                "description": "The candle includes all ticks before this offset of the tick "
                "partition.",
            },
            "format": {
                **_DIGITS,
                "description": "Version of the record's format. A record without it has version 1.",
            },
        },
    }
