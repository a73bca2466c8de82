"""Runs an HTTP front as a process of its own, and steers it."""

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from jobs.ports import free_port_settings
from sinks.clickhouse_endpoint import ClickHouseAddress


@dataclass
class RunningFront:
    """A front that runs."""

    process: subprocess.Popen
    port: int
    plain_port: int

    def address(self, database="fleetpulse", *, timeout_s=10.0):
        """Return where the faults strike."""
        return self._address(self.port, database, timeout_s)

    def plain_address(self, database="fleetpulse"):
        """Return where none does."""
        return self._address(self.plain_port, database, 60.0)

    def order(self, *faults):
        """Let these faults strike from now on, and no others."""
        self._say("faults", [plain(fault) for fault in faults])

    def vanish(self):
        self._say("vanish")

    def come_back(self):
        self._say("return")

    def inserts(self, table):
        """Return token and fate of each insert into a table that has reached the front."""
        return [(token, deed) for name, token, deed in self._say("seen") if name == table]

    def _address(self, port, database, timeout_s):
        return ClickHouseAddress("http", database, host="127.0.0.1", port=port, timeout_s=timeout_s)

    def _say(self, order, value=None):
        self.process.stdin.write(json.dumps([order, value]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def plain(fault):
    """Return an order as JSON can tell it."""
    names = ("deed", "on", "times", "share", "seed", "code", "delay_s")
    return {name: getattr(fault, name) for name in names}


@contextlib.contextmanager
def running_front(path: Path):
    """Start a front over a directory; it ends with the block."""
    ports = free_port_settings(path).stack
    port, plain_port = ports.kafka_port, ports.controller_port
    argv = [sys.executable, "-m", "tests.http_front.server", str(path), str(port), str(plain_port)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield RunningFront(process, port, plain_port)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()
