"""Sessions and clusters of Spark's on loopback, ended by those who started them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from helpers.processes import WORKERS_PATH

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Cluster", "Sessions", "spark_environment", "without_java"]

SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.session.timeZone": "Europe/Berlin",
}


def without_java() -> str:
    """Return why Spark can't be started, or nothing."""
    return "" if shutil.which("java") else "Spark needs Java, and this machine has none"


def spark_environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the variables of a process of Spark's.

    Args:
        folder: for its files.
        more: other variables.
    """
    return {
        "HOME": str(folder),
        # Most of what a JVM does in a short life is to compile.
        "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "PATH": os.environ["PATH"],
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": WORKERS_PATH,
        "SPARK_LOCAL_IP": "127.0.0.1",
        **more,
    }


@dataclass
class Sessions:
    """The sessions of this process, of which there is one at a time.

    Args:
        folder: for their files.
    """

    folder: Path
    _given: tuple[str, Mapping[str, str]] | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _session: Any = None

    def session(self, settings: Mapping[str, str], master: str = "local[2]") -> SparkSession:
        """Return a session with these settings: the one that there is, or a new one."""
        if self._given != (master, settings):
            self.close()
            self._session = self._stack.enter_context(_session(self.folder, master, settings))
            self._given = master, settings
        return self._session

    def close(self) -> None:
        """End the session that there is."""
        self._given = None
        self._stack.close()


@contextmanager
def _session(folder: Path, master: str, settings: Mapping[str, str]) -> Iterator[SparkSession]:
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        for name, value in spark_environment(folder).items():
            patch.setenv(name, value)
        builder = SparkSession.builder.master(master).appName("secureml")
        builder = builder.config("spark.local.dir", str(folder / "local"))
        builder = builder.config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        for name, value in {**SETTINGS, **settings}.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        try:
            yield session
        finally:
            session.stop()
            _end_gateway()


def _end_gateway() -> None:
    """End the JVM that a session leaves, so that the next one starts with other settings."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(30)
        SparkContext._gateway = SparkContext._jvm = None


@dataclass
class Cluster:
    """A master and workers of a standalone cluster, each a process.

    Args:
        folder: for what they write.
    """

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    url: str = ""

    def start(self, workers: Mapping[str, Mapping[str, str]]) -> None:
        """Start it.

        Args:
            workers: the variables of each by its name.
        """
        self.url = self._start("master", ["Master"], {}, r"Starting Spark master at (spark://\S+)")
        for name, variables in workers.items():
            place = self.folder / name
            options = ["Worker", "--cores", "1", "--memory", "1g", "--work-dir", f"{place}/work"]
            self._start(name, [*options, self.url], variables, r"Successfully registered with ()")

    def close(self) -> None:
        """End all of it; workers end their executors."""
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(
        self, name: str, command: list[str], variables: Mapping[str, str], ready: str
    ) -> str:
        """Start a process, and return what it says when it is ready."""
        import pyspark

        place = self.folder / name
        place.mkdir()
        kind, *arguments = command
        home = Path(pyspark.__file__).parent
        local = {"SPARK_HOME": str(home), "SPARK_LOCAL_DIRS": f"{place}/local"}
        log = place / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    str(home / "bin" / "spark-class"),
                    f"org.apache.spark.deploy.{kind.lower()}.{kind}",
                    *("--host", "127.0.0.1", "--port", "0", "--webui-port", "0"),
                    *arguments,
                ],
                cwd=place,
                env=spark_environment(place, SPARK_DAEMON_MEMORY="256m", **local, **variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        end = time.monotonic() + 240
        while not (found := re.search(ready, log.read_text("utf-8"))):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < end, f"{name} did not start: {log.read_text('utf-8')}"
            time.sleep(0.05)
        return found[1]
