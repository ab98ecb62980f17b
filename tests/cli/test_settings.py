"""Settings from flags, variables and homma.toml; a wrong one is one sentence and status 2."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from homma.cli.main import homma as program
from homma.renamed_settings import RENAMED, flag_of
from homma.settings import all_settings

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


def refused(said: subprocess.CompletedProcess[str], *words: str) -> None:
    assert said.returncode == 2, said.stderr
    last = said.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in last


def test_a_wrong_flag_names_itself_and_what_it_may_be(tmp_path: Path) -> None:
    refused(homma("aggregate", "--price", "last", cwd=tmp_path), "--price", "mid, bid, ask")
    refused(homma("aggregate", "--emit-every", "soon", cwd=tmp_path), "--emit-every", "ms, s, min")
    refused(homma("aggregate", "--partitions", "few", cwd=tmp_path), "--partitions")
    refused(homma("aggregate", "--emit-evry", "1s", cwd=tmp_path), "--emit-evry")


def test_a_wrong_variable_is_refused(tmp_path: Path) -> None:
    refused(homma("aggregate", cwd=tmp_path, env={"HOMMA_PRIZE": "bid"}), "HOMMA_PRICE")
    refused(homma("aggregate", cwd=tmp_path, env={"HOMMA_PRICE": "last"}), "mid, bid, ask")


def test_a_wrong_entry_of_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "homma.toml"
    file.write_text('emit_evry = "1s"\n')
    refused(homma("aggregate", cwd=tmp_path), "emit_evry", "homma.toml", "emit_every")
    file.write_text("price = [\n")
    refused(homma("aggregate", cwd=tmp_path), "homma.toml", "TOML")
    refused(homma("--config", "none.toml", "aggregate", cwd=tmp_path), "none.toml")


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    refused(
        homma("aggregate", "--allowed-lateness", "1min", cwd=tmp_path),
        "allowed_lateness",
        "302s",
    )
    refused(homma("aggregate", "--candle-topic", "one", cwd=tmp_path), "{name}")


def test_a_login_is_needed_where_the_protocol_wants_one(tmp_path: Path) -> None:
    said = homma("aggregate", "--security.protocol", "SASL_SSL", cwd=tmp_path)
    refused(said, "KAFKA_SASL_USERNAME")


def test_librdkafkas_own_names_are_checked_by_librdkafka(tmp_path: Path) -> None:
    refused(homma("aggregate", "-X", "no.such=1", cwd=tmp_path), "no.such")
    refused(homma("aggregate", "-X", "novalue", cwd=tmp_path), "-X novalue")


def test_no_broker_is_one_sentence_and_status_1(tmp_path: Path) -> None:
    said = homma("aggregate", *UNREACHABLE, cwd=tmp_path)
    assert said.returncode == 1
    last = said.stderr.strip().splitlines()[-1]
    assert "127.0.0.1:1" in last
    assert "--bootstrap.servers" in last


@pytest.mark.parametrize("verb", sorted(program.commands))
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    said = CliRunner().invoke(program, [verb, "--help"])
    assert said.exit_code == 0
    assert f"Example:\n    homma {verb}" in said.output


def test_flags_count_before_variables_before_the_file(tmp_path: Path) -> None:
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
    # The names that collide are told, and with them the topic that was chosen.
    refused(homma(*words, cwd=tmp_path), "of_file")
    refused(homma(*words, cwd=tmp_path, env={"HOMMA_TOPIC": "of_env"}), "of_env")
    said = homma(*words, "--topic", "of_flag", cwd=tmp_path, env={"HOMMA_TOPIC": "of_env"})
    refused(said, "of_flag")


@pytest.mark.parametrize(("former", "current"), RENAMED.items())
def test_a_former_name_is_answered_with_the_current_one(
    former: str, current: str, tmp_path: Path
) -> None:
    assert former not in all_settings()
    assert current in all_settings()
    refused(homma("land", flag_of(former), "1", cwd=tmp_path), flag_of(former), flag_of(current))
    variable = "HOMMA_" + former.upper()
    refused(homma("land", cwd=tmp_path, env={variable: "1"}), variable, "HOMMA_" + current.upper())
    (tmp_path / "homma.toml").write_text(f"{former} = 1\n")
    refused(homma("land", cwd=tmp_path), f"{former} in homma.toml", f"write {current}")
