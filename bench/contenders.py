"""The contenders that read the topic, each in a process of its own."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from bench.market import PARTITIONS, Market, make_topics, withheld
from bench.processes import Engines, engines
from bench.stopwatch import peak_mib
from homma.core.interval import CLOCK
from homma.settings import TopicSettings
from homma.topics import codec, contract
from homma.topics.kafka.reading import Reader

_TIMEOUT_S = 600.0
ROOT = Path(__file__).parents[1]
_UV = (shutil.which("uv"), str(ROOT / ".uv/bin/uv"))


@dataclass(frozen=True)
class Result:
    """Time, CPU and memory of a contender; `peak_mib` is that of its largest process."""

    ticks: int
    seconds: float
    cpu_s: float
    peak_mib: float


class MissingProgram(Exception):
    """A contender's program is not installed; the message says how to install it."""


def kcat(bootstrap: str, topic: str, market: Market) -> Result:
    """The C client alone: kcat without output, from its start to its end."""
    program = shutil.which("kcat") or shutil.which("kafkacat")
    if program is None:
        raise MissingProgram("kcat is not installed and left out: apt-get install kcat")
    argv = [
        program,
        "-C",
        "-q",
        "-b",
        bootstrap,
        "-t",
        topic,
        "-o",
        "beginning",
        "-e",
        "-f",
        "",
        "-X",
        "queued.min.messages=200000",
        "-X",
        "fetch.wait.max.ms=10",
    ]
    seconds, cpu_s, peak = _run_to_end(argv)
    return Result(market.ticks, seconds, cpu_s, peak)


def _run_to_end(argv: Sequence[str]) -> tuple[float, float, float]:
    """Run a program. Returns seconds, CPU seconds and the peak in MiB."""
    began_s = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    peaks = [math.nan]
    while not (waited := os.wait4(process.pid, os.WNOHANG))[0]:
        peaks.append(peak_mib(process.pid))
        time.sleep(0.005)
    _, status, usage = waited
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{argv[0]} ended with status {process.returncode}")
    known = [peak for peak in peaks if not math.isnan(peak)]
    seconds = time.perf_counter() - began_s
    return seconds, usage.ru_utime + usage.ru_stime, max(known, default=math.nan)


def raw_loop(bootstrap: str, topic: str, market: Market) -> Result:
    """The Python client alone."""
    argv = [sys.executable, "-m", "bench.raw_loop", bootstrap, topic, str(PARTITIONS)]
    return _measured_by_itself([*argv, str(market.ticks)])


def quix(bootstrap: str, topic: str, ticks: int, folder: Path) -> Result:
    """Quix Streams over the first `ticks` ticks, 1-minute candles only."""
    uv = next((path for path in _UV if path and Path(path).exists()), None)
    if uv is None:
        raise MissingProgram("uv is not installed and Quix Streams left out: pip install uv")
    argv = [uv, "run", "--quiet", "--python", sys.executable, "--script", "bench/quix_streams.py"]
    try:
        return _measured_by_itself(
            [*argv, bootstrap, topic, str(ticks), str(folder / f"quix-{topic}")]
        )
    except subprocess.CalledProcessError as error:
        raise MissingProgram(
            "Quix Streams failed and is left out (its first run downloads it from PyPI):"
            f"\n{error.stderr.decode()[-2000:]}"
        ) from error


def _measured_by_itself(argv: Sequence[str]) -> Result:
    """The result of a contender that measures itself."""
    environment = {**os.environ, "PYTHONPATH": "."}
    process = subprocess.run(argv, check=True, capture_output=True, cwd=ROOT, env=environment)
    fields: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return Result(**fields)


def homma(
    bootstrap: str, topics: TopicSettings, market: Market, folder: Path, processes: int
) -> Result:
    """The engine with its defaults, in one or more processes of one group.

    All processes have joined and own their partitions before the clock starts.
    """
    names = make_topics(bootstrap, topics)
    with (
        engines(bootstrap, topics, topics.topic, folder) as group,
        withheld(bootstrap, topics.topic, market) as release,
    ):
        for _ in range(processes):
            group.start("--price", "trade" if market.kind == "trade" else "mid")
        group.until(group.ready)
        return process_ticks(group, names, market, release)


def process_ticks(
    group: Engines, names: contract.Topics, market: Market, release: Callable[[], None]
) -> Result:
    """The result of engines that are ready, for ticks that become readable at once.

    The clock stops when the candles of the last tick are committed, which is up to `emit_every`
    (1 s), with Flink plus up to a checkpoint, after the work is done: the rate is slightly too low.
    """
    cpu_s = sum(engine.cpu_s() for engine in group.all)
    began_s = time.perf_counter()
    release()
    group.until(lambda: group.committed() >= market.ticks, timeout_s=_TIMEOUT_S)
    seconds = time.perf_counter() - began_s
    cpu_s = sum(engine.cpu_s() for engine in group.all) - cpu_s
    _stop(group)
    counted = _count_ticks(group.bootstrap, names)
    if counted != market.ticks:
        raise SystemExit(f"the candles have {counted:,} of {market.ticks:,} ticks")
    return Result(market.ticks, seconds, cpu_s, max(engine.peak_mib for engine in group.all))


def _stop(group: Engines) -> None:
    for engine in group.all:
        engine.end()


def _count_ticks(bootstrap: str, names: contract.Topics) -> int:
    """The number of ticks in the candles: the volume of all month candles."""
    reader = Reader({"bootstrap.servers": bootstrap})
    topic = names.candles[CLOCK.code]
    values = [
        message.value() or b""
        for partition in range(PARTITIONS)
        for batch in reader.read(partition, {topic: reader.offset_range(topic, partition)}, 10)
        for message in batch
    ]
    reader.close()
    months = codec.decode_candles(values, CLOCK)
    newest = months.unique(("source", "symbol", "start_us"), keep="last", maintain_order=True)
    return int(newest.select(pl.col("volume").sum()).item())
