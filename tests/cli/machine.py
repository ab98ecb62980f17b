"""A pipeline on this machine with a folder and ports of a test's own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from homma.topics.kafka.reading import Reader
from tests.stack.waiting import free_ports, seaweed_ports


class Machine:
    """What `homma up` starts, moved out of everybody's way."""

    def __init__(self, home: Path, cache: Path) -> None:
        broker, controller, aggregate, generate, land, self.trino, self.page = free_ports(7)
        self.ports = seaweed_ports()
        self.home = home
        self.broker = broker
        self.bootstrap = f"127.0.0.1:{broker}"
        moved = {
            "DIR": home,
            "CACHE": cache,
            "KAFKA_PORT": broker,
            "KAFKA_CONTROLLER_PORT": controller,
            "S3_PORT": self.ports.s3,
            "CATALOG_PORT": self.ports.catalog,
            "S3_ENDPOINT": f"http://127.0.0.1:{self.ports.s3}",
            "CATALOG_URI": f"http://127.0.0.1:{self.ports.catalog}",
            "SEAWEED_PORT": self.ports.inner,
            "TRINO_PORT": self.trino,
            "AGGREGATE_METRICS_PORT": aggregate,
            "GENERATE_METRICS_PORT": generate,
            "LAND_METRICS_PORT": land,
            "SERVE_PORT": self.page,
            "BOOTSTRAP_SERVERS": self.bootstrap,
            "RATE": 200,
            "COMMIT_EVERY": "1s",
        }
        self.env = os.environ | {f"HOMMA_{name}": str(value) for name, value in moved.items()}
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A verb that goes on until it is told to end."""
        argv = [sys.executable, "-m", "homma", *words]
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env
        )
        self.started.append(process)
        return process

    def homma(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A verb that ends by itself."""
        argv = [sys.executable, "-m", "homma", *words]
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=600, check=False, env=self.env
        )

    def status(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.homma("status", "--json").stdout)
        return found

    def stages(self) -> dict[str, dict[str, Any]]:
        """What `status` tells of each process, by its name."""
        rows = self.status().get("stages", [])
        assert isinstance(rows, list)
        return {row["stage"]: row for row in rows}

    def lives(self) -> bool:
        """Whether ticks go all the way."""
        stages = self.stages()
        return {"kafka", "aggregate", "generate"} <= set(stages) and all(
            stages[name]["ticksPerSecond"] for name in ("aggregate", "generate")
        )

    def records(self, topic: str) -> int:
        """The end offsets of a topic, added up."""
        reader = Reader({"bootstrap.servers": self.bootstrap})
        try:
            return sum(reader.kept(topic, p).end for p in range(reader.partitions(topic)))
        finally:
            reader.close()

    def processes(self) -> list[psutil.Process]:
        """All that was started for the folder, guards and servers too."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            named = " ".join(process.info["cmdline"] or [])
            place = (process.info["environ"] or {}).get("HOMMA_DIR")
            mine = str(self.home) in named or place == str(self.home)
            if process.pid != os.getpid() and mine:
                found.append(process)
        return found

    def end(self) -> None:
        """Stop what a test has left."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)
        self.homma("down")
