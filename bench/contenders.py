"""Who reads the topic, each in a process of its own."""

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
from homma.core.interval import COARSEST
from homma.settings import TopicSettings
from homma.topics import codec, contract
from homma.topics.kafka.reading import Reader

_WORKED_OFF_S = 600.0
ROOT = Path(__file__).parents[1]
_UV = (shutil.which("uv"), str(ROOT / ".uv/bin/uv"))


@dataclass(frozen=True)
class Result:
    """What a contender took. Of several processes `peak_mib` is that of the largest."""

    ticks: int
    seconds: float
    cpu_s: float
    peak_mib: float


class Missing(Exception):
    """A contender's program is not there; the text names the remedy."""


def kcat(bootstrap: str, topic: str, market: Market) -> Result:
    """The C client alone: kcat, printing nothing, from its start to its end."""
    program = shutil.which("kcat") or shutil.which("kafkacat")
    if program is None:
        raise Missing("kcat is left out, as it is not installed: apt-get install kcat")
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
    seconds, cpu_s, peak = _waited(argv)
    return Result(market.ticks, seconds, cpu_s, peak)


def _waited(argv: Sequence[str]) -> tuple[float, float, float]:
    """Seconds, CPU seconds and the peak in MiB of a program that ends by itself."""
    began_s = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    peaks = [math.nan]
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        peaks.append(peak_mib(process.pid))
        time.sleep(0.005)
    _, status, used = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{argv[0]} ended with status {process.returncode}")
    seen = [peak for peak in peaks if not math.isnan(peak)]
    seconds = time.perf_counter() - began_s
    return seconds, used.ru_utime + used.ru_stime, max(seen, default=math.nan)


def raw_loop(bootstrap: str, topic: str, market: Market) -> Result:
    """The Python client alone."""
    argv = [sys.executable, "-m", "bench.raw_loop", bootstrap, topic, str(PARTITIONS)]
    return _told([*argv, str(market.ticks)])


def quix(bootstrap: str, topic: str, ticks: int, folder: Path) -> Result:
    """Quix Streams, the first so many ticks, the 1-minute candle alone."""
    uv = next((path for path in _UV if path and Path(path).exists()), None)
    if uv is None:
        raise Missing("Quix Streams is left out, as uv is not installed: pip install uv")
    argv = [uv, "run", "--quiet", "--python", sys.executable, "--script", "bench/quix_streams.py"]
    try:
        return _told([*argv, bootstrap, topic, str(ticks), str(folder / f"quix-{topic}")])
    except subprocess.CalledProcessError as error:
        raise Missing(
            f"Quix Streams is left out, as it has failed (the first time it is fetched from PyPI):"
            f"\n{error.stderr.decode()[-2000:]}"
        ) from error


def _told(argv: Sequence[str]) -> Result:
    """The result of a contender that measures itself."""
    environment = {**os.environ, "PYTHONPATH": "."}
    found = subprocess.run(argv, check=True, capture_output=True, cwd=ROOT, env=environment)
    told: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return Result(**told)


def homma(
    bootstrap: str, topics: TopicSettings, market: Market, folder: Path, processes: int
) -> Result:
    """The engine, in one or more processes of one group, with all that it does by default.

    All are members and hold their partitions before the clock starts.
    """
    names = make_topics(bootstrap, topics)
    with (
        engines(bootstrap, topics, topics.topic, folder) as group,
        withheld(bootstrap, topics.topic, market) as show,
    ):
        for _ in range(processes):
            group.start()
        group.until(group.ready)
        return worked_off(group, names, market, show)


def worked_off(
    group: Engines, names: contract.Topics, market: Market, show: Callable[[], None]
) -> Result:
    """What engines that are ready take for ticks that become readable at once.

    The clock stops when the candles of the last tick are committed, which is up to `emit_every`
    (1 s), with Flink up to a checkpoint more, after there was nothing left to do: the rate is
    rather too low.
    """
    cpu_s = sum(engine.cpu_s() for engine in group.all)
    began_s = time.perf_counter()
    show()
    group.until(lambda: group.committed() >= market.ticks, within_s=_WORKED_OFF_S)
    seconds = time.perf_counter() - began_s
    cpu_s = sum(engine.cpu_s() for engine in group.all) - cpu_s
    _stop(group)
    counted = _counted(group.bootstrap, names)
    if counted != market.ticks:
        raise SystemExit(f"{counted:,} of {market.ticks:,} ticks are in the candles")
    return Result(market.ticks, seconds, cpu_s, max(engine.peak_mib for engine in group.all))


def _stop(group: Engines) -> None:
    for engine in group.all:
        engine.end()


def _counted(bootstrap: str, names: contract.Topics) -> int:
    """The ticks that are in the candles: the volume of all months."""
    reader = Reader({"bootstrap.servers": bootstrap})
    topic = names.candles[COARSEST]
    values = [
        message.value() or b""
        for partition in range(PARTITIONS)
        for batch in reader.read(partition, {topic: reader.kept(topic, partition)}, 10)
        for message in batch
    ]
    reader.close()
    months = codec.candles_from(values, COARSEST)
    newest = months.unique(("source", "symbol", "start_us"), keep="last", maintain_order=True)
    return int(newest.select(pl.col("volume").sum()).item())
