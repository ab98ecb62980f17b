"""`homma up` with a data folder and ports of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from homma.topics.kafka.reading import Reader
from tests.support.waiting import free_ports, seaweed_ports


class Machine:
    """Runs homma commands with a data folder and ports that no one else uses."""

    def __init__(self, home: Path, cache: Path) -> None:
        broker, controller, aggregate, generate, land, ingest, *others = free_ports(9)
        self.trino, self.page, self.verifier = others
        self.ports = seaweed_ports()
        self.home = home
        self.broker = broker
        self.bootstrap = f"127.0.0.1:{broker}"
        settings = {
            "DIR": home,
            "CACHE": cache,
            "KAFKA_PORT": broker,
            "KAFKA_CONTROLLER_PORT": controller,
            "S3_PORT": self.ports.s3,
            "CATALOG_PORT": self.ports.catalog,
            "SEAWEED_PORT": self.ports.internal,
            "TRINO_PORT": self.trino,
            "AGGREGATE_METRICS_PORT": aggregate,
            "GENERATE_METRICS_PORT": generate,
            "LAND_METRICS_PORT": land,
            "INGEST_METRICS_PORT": ingest,
            "SERVE_PORT": self.page,
            # Tests that need a verifier choose how often it runs.
            "VERIFY_EVERY": "0s",
            "VERIFY_METRICS_PORT": self.verifier,
            "RATE": 200,
            "COMMIT_EVERY": "1s",
            "HISTORY": "0",
        }
        self.env = os.environ | {f"HOMMA_{name}": str(value) for name, value in settings.items()}
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command that runs until it is stopped."""
        argv = [sys.executable, "-m", "homma", *words]
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env
        )
        self.started.append(process)
        return process

    def homma(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command that exits by itself."""
        argv = [sys.executable, "-m", "homma", *words]
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=1200, check=False, env=self.env
        )

    def status(self) -> dict[str, object]:
        status: dict[str, object] = json.loads(self.homma("status", "--json").stdout)
        return status

    def stages(self) -> dict[str, dict[str, Any]]:
        """The rows of `homma status` by process name."""
        rows = self.status().get("stages", [])
        assert isinstance(rows, list)
        return {row["stage"]: row for row in rows}

    def has_flow(self) -> bool:
        """Whether ticks flow from the generator through the engine."""
        stages = self.stages()
        return {"kafka", "aggregate", "generate"} <= set(stages) and all(
            stages[name]["ticksPerSecond"] for name in ("aggregate", "generate")
        )

    def records(self, topic: str) -> int:
        """The sum of a topic's end offsets."""
        reader = Reader({"bootstrap.servers": self.bootstrap})
        try:
            return sum(reader.offset_range(topic, p).end for p in range(reader.partitions(topic)))
        finally:
            reader.close()

    def processes(self) -> list[psutil.Process]:
        """All processes of the data folder, including guards and servers."""
        processes = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            command = " ".join(process.info["cmdline"] or [])
            data_dir = (process.info["environ"] or {}).get("HOMMA_DIR")
            is_ours = str(self.home) in command or data_dir == str(self.home)
            if process.pid != os.getpid() and is_ours:
                processes.append(process)
        return processes

    def stop(self) -> None:
        """Stop everything that still runs."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)
        self.homma("down")
