"""The SQL for Flink, generated from the table of intervals and the settings."""

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from homma.aggregate.flink import SHADED, Job, options, script
from homma.aggregate.sql import interval_literal
from homma.aggregate.views import state_ttl
from homma.cli.main import homma
from homma.core.interval import INTERVALS
from homma.errors import SettingError
from homma.settings import AggregateSettings, FlinkSettings, TopicSettings
from homma.topics import contract
from homma.topics.java import java_properties

ROOT = Path(__file__).parents[2]


def job(
    settings: AggregateSettings | None = None,
    flink: FlinkSettings | None = None,
    kafka: dict[str, str] | None = None,
) -> Job:
    return Job(
        topics=contract.topics(TopicSettings()),
        settings=settings or AggregateSettings(),
        flink=flink or FlinkSettings(),
        client=java_properties({"bootstrap.servers": "here:9092", **(kafka or {})}, SHADED),
        checkpoints="file:///state",
    )


def test_the_command_prints_the_deployed_sql() -> None:
    flags = ["--bootstrap.servers", "kafka:9092", "--checkpoints", "s3://lake/flink"]
    result = CliRunner().invoke(homma, ["flink", "sql", *flags])
    assert result.exit_code == 0, result.output
    deployed = (ROOT / "deploy/flink/candles.sql").read_text(encoding="utf-8")
    comments, _, text = deployed.partition("SET ")
    assert all(line.startswith("--") for line in comments.splitlines())
    assert result.output == "SET " + text


def test_a_candle_outlives_its_parts() -> None:
    ttls = [state_ttl(AggregateSettings(), FlinkSettings(), interval) for interval in INTERVALS]
    assert ttls == sorted(ttls)
    assert ttls[0] == timedelta(days=1, minutes=11)
    assert ttls[-1] == timedelta(days=32, minutes=10)


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (timedelta(minutes=5), "INTERVAL '0 00:05:00.000' DAY TO SECOND(3)"),
        (timedelta(days=3, hours=4, seconds=7.25), "INTERVAL '3 04:00:07.250' DAY TO SECOND(3)"),
    ],
)
def test_durations(value: timedelta, literal: str) -> None:
    assert interval_literal(value) == literal


def test_delivery_setting() -> None:
    exactly = script(job())
    least = script(job(flink=FlinkSettings(delivery="at-least-once")))
    assert exactly.count("'sink.delivery-guarantee' = 'exactly-once'") == len(INTERVALS) + 1
    prefixes = [line for line in exactly.splitlines() if "transactional-id-prefix" in line]
    assert len(set(prefixes)) == len(INTERVALS) + 1
    assert "transactional-id-prefix" not in least
    assert least.count("'sink.delivery-guarantee' = 'at-least-once'") == len(INTERVALS) + 1


def test_restore_sets_the_recovery_path() -> None:
    flink_options = options(job())
    assert not [name for name in flink_options if name.startswith("execution.state-recovery")]
    restored = Job(
        **{name: getattr(job(), name) for name in ("topics", "settings", "flink", "client")},
        checkpoints="file:///state",
        restore="file:///state/chk-7",
    )
    assert options(restored)["execution.state-recovery.path"] == "file:///state/chk-7"


def test_price_setting() -> None:
    assert "`bid` AS `price`" in script(job(AggregateSettings(price="bid")))


def test_duplicates_are_recognised_during_the_allowed_lateness() -> None:
    with pytest.raises(SettingError, match="dedupe_ttl is 5min, less than allowed_lateness"):
        job(flink=FlinkSettings(dedupe_ttl=timedelta(minutes=5)))


def test_the_sql_contains_no_secrets() -> None:
    login = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "somebody",
        "sasl.password": "a secret",
        "ssl.ca.location": "/ca.pem",
    }
    text = script(job(kafka=login))
    assert "a secret" not in text
    assert "somebody" not in text
    assert 'password="${env:KAFKA_SASL_PASSWORD}"' in text
    assert f"{SHADED}org.apache.kafka.common.security.scram.ScramLoginModule" in text
    assert "'properties.ssl.truststore.location' = '/ca.pem'" in text


def test_properties_unknown_to_java_are_refused() -> None:
    with pytest.raises(SettingError, match=r"do not support queued\.max\.messages\.kbytes"):
        job(kafka={"queued.max.messages.kbytes": "1"})
