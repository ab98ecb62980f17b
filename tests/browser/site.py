"""`homma serve` in its own process, with the candles of a pipeline."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from homma.topics.kafka.writing import Sender
from tests.browser.walk import MINUTES, NUMBER, SERIES
from tests.support.pipeline import Pipeline, tick
from tests.support.waiting import until


class Site:
    """A server that can be stopped and restarted at the same address."""

    def __init__(self, bootstrap: str, port: int, home: str) -> None:
        self.pipeline = Pipeline(bootstrap, partitions=2)
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self._log = Path(home) / "serve.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._number = NUMBER
        self._sender = Sender(self.pipeline.config)

    def start(self, token: str | None = None) -> None:
        """Start the server, and wait until it is ready."""
        assert self._process is None
        argv = [
            sys.executable,
            "-m",
            "homma",
            "serve",
            "--without-lake",
            "--bootstrap.servers",
            self.pipeline.bootstrap,
            "--candle-topic",
            self.pipeline.name + "_{name}",
            "--serve-port",
            str(self.port),
        ]
        env = os.environ | ({"HOMMA_SERVE_TOKEN": token} if token else {})
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(argv, env=env, stderr=log)
        until(self._is_ready)

    def stop(self) -> None:
        """Stop the server; its log must not contain a traceback."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None
        assert "Traceback" not in self._log.read_text()

    def until_ready(self) -> None:
        """Wait until the server has the complete history of every series."""
        until(lambda: len(self.get("/api/overview", interval="m1")["series"]) == len(SERIES))
        until(lambda: len(self.candles("m1", limit=10_000)) == MINUTES)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer of an API request."""
        return httpx.get(self.address + path, params=query, timeout=30).json()

    def candles(self, interval: str, **query: Any) -> list[dict[str, Any]]:
        """The server's candles, by default of BNBUSD from SOURCE_1."""
        query = {"source": "SOURCE_1", "symbol": "BNBUSD", "interval": interval, **query}
        candles: list[dict[str, Any]] = self.get("/api/candles", **query).get("candles", [])
        return candles

    def send(self, at: str, price: float, source: str = "SOURCE_1", symbol: str = "BNBUSD") -> None:
        """Send one tick with the next number."""
        self._number += 1
        record = tick(at, price, self._number, symbol, source)
        # One sender for all ticks: a new one would first have to find the broker.
        self._sender.send(
            self.pipeline.topics.ticks,
            [f"{source}:{symbol}".encode()],
            [json.dumps(record).encode()],
        )
        assert self._sender.flush(30) == 0

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            return httpx.get(f"{self.address}/health/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False
