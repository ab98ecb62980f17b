"""Settings from flags, variables and homma.toml; an invalid one exits with one sentence and 2."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from homma.cli.main import homma as program
from homma.formats import CURRENT
from homma.renamed_settings import RENAMED, flag_of
from homma.setting_values import all_settings

UNREACHABLE = ["--bootstrap.servers", "127.0.0.1:1"]


def homma(
    *words: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "homma", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **(env or {})},
    )


def assert_rejected(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 2, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in last


def test_the_error_for_an_invalid_flag_names_the_flag_and_its_values(tmp_path: Path) -> None:
    assert_rejected(homma("aggregate", "--price", "last", cwd=tmp_path), "--price", "mid, bid, ask")
    assert_rejected(
        homma("aggregate", "--emit-every", "soon", cwd=tmp_path), "--emit-every", "ms, s, min"
    )
    assert_rejected(homma("aggregate", "--partitions", "few", cwd=tmp_path), "--partitions")
    assert_rejected(homma("aggregate", "--emit-evry", "1s", cwd=tmp_path), "--emit-evry")


def test_an_invalid_variable_is_rejected(tmp_path: Path) -> None:
    assert_rejected(homma("aggregate", cwd=tmp_path, env={"HOMMA_PRIZE": "bid"}), "HOMMA_PRICE")
    assert_rejected(homma("aggregate", cwd=tmp_path, env={"HOMMA_PRICE": "last"}), "mid, bid, ask")


def test_an_invalid_entry_of_the_file_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "homma.toml"
    file.write_text('emit_evry = "1s"\n')
    assert_rejected(homma("aggregate", cwd=tmp_path), "emit_evry", "homma.toml", "emit_every")
    file.write_text("price = [\n")
    assert_rejected(homma("aggregate", cwd=tmp_path), "homma.toml", "TOML")
    assert_rejected(homma("--config", "none.toml", "aggregate", cwd=tmp_path), "none.toml")


def test_contradictory_settings_are_rejected(tmp_path: Path) -> None:
    assert_rejected(
        homma("aggregate", "--allowed-lateness", "1min", cwd=tmp_path),
        "allowed_lateness",
        "302s",
    )
    assert_rejected(homma("aggregate", "--candle-topic", "one", cwd=tmp_path), "{name}")


@pytest.mark.parametrize("version", [0, CURRENT + 1])
def test_an_unknown_format_is_rejected(tmp_path: Path, version: int) -> None:
    result = homma("aggregate", "--write-format", str(version), cwd=tmp_path)
    assert_rejected(result, "write_format", f"from 1 to {CURRENT}")


def test_sasl_requires_a_login(tmp_path: Path) -> None:
    result = homma("aggregate", "--security.protocol", "SASL_SSL", cwd=tmp_path)
    assert_rejected(result, "KAFKA_SASL_USERNAME")


def test_librdkafka_checks_its_own_properties(tmp_path: Path) -> None:
    assert_rejected(homma("aggregate", "-X", "no.such=1", cwd=tmp_path), "no.such")
    assert_rejected(homma("aggregate", "-X", "novalue", cwd=tmp_path), "-X novalue")


def test_an_unreachable_broker_is_one_sentence_and_status_1(tmp_path: Path) -> None:
    result = homma("aggregate", *UNREACHABLE, cwd=tmp_path)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "127.0.0.1:1" in last
    assert "--bootstrap.servers" in last


@pytest.mark.parametrize("command", sorted(program.commands))
def test_the_help_of_every_command_has_an_example(command: str) -> None:
    result = CliRunner().invoke(program, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example:\n    homma {command}" in result.output


def test_flags_precede_variables_and_variables_precede_the_file(tmp_path: Path) -> None:
    (tmp_path / "homma.toml").write_text('topic = "of_file"\n[kafka]\n"client.id" = "x"\n')
    words = [
        "aggregate",
        *UNREACHABLE,
        "--candle-topic",
        "{name}",
        "--dead-topic",
        "d",
        "--late-topic",
        "1min",
    ]
    # The error lists the names that collide, and with them the topic.
    assert_rejected(homma(*words, cwd=tmp_path), "of_file")
    assert_rejected(homma(*words, cwd=tmp_path, env={"HOMMA_TOPIC": "of_env"}), "of_env")
    result = homma(*words, "--topic", "of_flag", cwd=tmp_path, env={"HOMMA_TOPIC": "of_env"})
    assert_rejected(result, "of_flag")


@pytest.mark.parametrize(("former", "current"), RENAMED.items())
def test_the_error_for_a_former_name_gives_the_current_one(
    former: str, current: str, tmp_path: Path
) -> None:
    assert former not in all_settings()
    assert current in all_settings()
    assert_rejected(
        homma("land", flag_of(former), "1", cwd=tmp_path), flag_of(former), flag_of(current)
    )
    variable = "HOMMA_" + former.upper()
    assert_rejected(
        homma("land", cwd=tmp_path, env={variable: "1"}), variable, "HOMMA_" + current.upper()
    )
    (tmp_path / "homma.toml").write_text(f"{former} = 1\n")
    assert_rejected(
        homma("land", cwd=tmp_path), f"{former} in homma.toml", f"use {current} instead"
    )
