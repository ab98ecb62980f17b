"""Flink's programs without a JVM; tests with one are in tests/flink."""

import json
import os
from pathlib import Path

from homma.flink.cluster import CONNECTOR, DRIVER, Flink, cluster, config_yaml, explain, submission
from homma.flink.state import checkpoints_uri, is_local, newest_checkpoint, path_of
from homma.settings import EngineSettings, FlinkSettings
from homma.stack.downloads.jars import read_lock
from homma.stack.downloads.relock import FLINK, FLINK_KAFKA

LINES = (
    "The program finished with the following exception:",
    "org.apache.flink.client.program.ProgramInvocationException: The main method caused an error",
    "Caused by: org.apache.flink.table.api.ValidationException: SQL validation failed.",
    "Caused by: org.apache.kafka.common.errors.TimeoutException: Call: describeTopics timed out",
    "... 33 more",
)


def flink(folder: Path, parallelism: int = 1) -> Flink:
    jars = [Path("/jars") / jar.path for jar in read_lock("flink").jars]
    return Flink(folder, jars, 8083, "1g", parallelism)


def completed(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "_metadata").touch()
    return folder


def test_the_lock_has_the_versions_of_relock() -> None:
    lock = read_lock("flink")
    assert lock.version == FLINK
    [connector] = [jar for jar in lock.jars if jar.path.name.startswith(CONNECTOR)]
    assert connector.coordinate.endswith(f":{FLINK_KAFKA}")
    versions = {
        jar.coordinate.split(":")[2]
        for jar in lock.jars
        if "flink:flink-" in jar.coordinate and "shaded" not in jar.coordinate
    }
    assert versions == {FLINK, FLINK_KAFKA}


def test_the_innermost_cause_is_reported() -> None:
    assert explain(LINES) == (
        "org.apache.kafka.common.errors.TimeoutException: Call: describeTopics timed out"
    )
    assert explain(["Error: no such class"]) == "Error: no such class"


def test_it_listens_on_the_loopback_address_only(tmp_path: Path) -> None:
    settings = dict(line.split(": ", 1) for line in config_yaml(flink(tmp_path, 3)).splitlines())
    assert json.loads(settings["rest.bind-address"]) == "127.0.0.1"
    assert json.loads(settings["rest.port"]) == 8083
    assert json.loads(settings["taskmanager.memory.network.max"]) == "192m"


def test_both_ways_run_the_same_script(tmp_path: Path) -> None:
    local = cluster(flink(tmp_path), lambda: True).program.argv
    remote = submission(flink(tmp_path), "jobs.example:8081").program.argv
    for argv in (local, remote):
        assert argv[-4:-2] == [
            DRIVER,
            str(next(a for a in argv if CONNECTOR in a and ":" not in a)),
        ]
        assert argv[-2:] == ["--scriptUri", (tmp_path / "job.sql").as_uri()]
    assert "-Drest.address=jobs.example" in remote
    assert "-Drest.port=8081" in remote
    assert "-d" in remote
    assert "-d" not in local


def test_the_newest_complete_checkpoint_is_found(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none") is None
    old = completed(tmp_path / "job1" / "chk-9")
    saved = completed(tmp_path / "savepoint-job1-x")
    newest = completed(tmp_path / "job2" / "chk-1")
    # Incomplete, as after a power failure.
    (tmp_path / "job2" / "chk-2").mkdir()
    for at, folder in enumerate((old, saved, newest)):
        os.utime(folder / "_metadata", (at, at))
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint == newest.as_uri()
    assert path_of(checkpoint) == newest


def test_each_job_has_its_own_checkpoint_folder(tmp_path: Path) -> None:
    def uri(checkpoints: str, group: str = "g") -> str:
        settings = FlinkSettings(checkpoints=checkpoints)
        return checkpoints_uri(settings, EngineSettings(dir=tmp_path), group, "ticks")

    assert uri("s3://lake/flink/") == "s3://lake/flink/g-ticks"
    assert not is_local(uri("s3://lake/flink"))
    assert path_of(uri(str(tmp_path / "state"))) == tmp_path / "state" / "g-ticks"
    assert path_of(uri("")) == tmp_path / "flink" / "g-ticks" / "checkpoints"
    assert uri("/state") != uri("/state", "other")
