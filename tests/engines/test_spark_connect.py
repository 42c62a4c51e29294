"""Spark Connect: what a client without a JVM makes of frames that a server holds."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.logins import free_port
from helpers.spark import spark_environment, without_java

pytest.importorskip("pyspark.sql.connect.proto", reason="the extra spark brings Spark Connect")

KEY = "5a17c0de" * 8

CLIENT = """
import sys
import warnings

warnings.simplefilter("ignore")
from pyspark.sql import SparkSession
from secureml import Pseudonymizer, anonymize, preview, reidentify, rekey
from secureml.errors import ManifestError, PseudonymizationError

url, folder = sys.argv[1:]
spark = SparkSession.builder.remote(url).getOrCreate()
frame = spark.sql(
    "select id, format_string('%09d', id * 1009) as ssn, interval '1-2' year to month as span,"
    " array(named_struct('x', 'qwerty' || id)) as `i.j`, timestamp'2020-07-01' as moment"
    " from range(0, 1000, 1, 4)"
)

def rows(frame):
    shown = frame.selectExpr("id", "ssn", "cast(span as string)", "`i.j`", "moment")
    return sorted(map(tuple, shown.collect()))

columns = {"sensitive_columns": ["ssn", "i\\\\.j[].x", "moment"], "small_domain": "token"}
made, document = anonymize(frame, return_manifest=True, **columns)
assert type(made) is type(frame) and "connect" in type(made).__module__
kept = [(f.name, f.nullable) for f in frame.schema]
assert [(f.name, f.nullable) for f in made.schema] == kept, made.schema
assert not {row[1] for row in rows(made)} & {row[1] for row in rows(frame)}
made.write.parquet(folder)
assert rows(reidentify(spark.read.parquet(folder))) == rows(frame)
assert rows(reidentify(made, document)) == rows(frame)
some, others = made.select("id", "ssn"), frame.select("id", "ssn")
for mixed in (some.union(others), some.unionByName(others)):
    try:
        reidentify(mixed.where("id > 3"))
    except ManifestError as error:
        assert "several manifests" in str(error)
    else:
        raise AssertionError("a union was not told")
assert rows(reidentify(made.union(made).distinct())) == rows(frame)
assert preview(frame, 2, **columns).columns[0].rows == 2
plan = Pseudonymizer(**columns).fit(frame)
assert rows(plan.inverse_transform(plan.transform(frame))) == rows(frame)
assert rows(rekey(made)) == rows(made)
wrong = anonymize(frame.selectExpr("if(id = 700, 'Hieronymus', ssn) as ssn"),
    sensitive_columns=["ssn"], formats={"ssn": "ssn"})
try:
    wrong.collect()
except Exception as error:
    assert "InvalidValueError: partition " in str(error), error
    assert "Hieronymus" not in str(error)
else:
    raise AssertionError("a wrong value was not told")
spark.stop()
print("all of it")
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server on loopback, whose workers have the key in their environment."""
    if missing := without_java():
        pytest.skip(missing)
    import pyspark

    port, log = free_port(), tmp_path / "log"
    home = Path(pyspark.__file__).parent
    settings = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.local.dir": str(tmp_path / "local"),
        "spark.sql.warehouse.dir": str(tmp_path / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }
    options = [part for pair in settings.items() for part in ("--conf", "=".join(pair))]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(str(home / "bin" / "spark-submit"), "--master", "local[2]", *options),
                *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
                "spark-internal",
            ],
            cwd=tmp_path,
            env=spark_environment(
                tmp_path,
                SPARK_HOME=str(home),
                SECUREML_ENV="development",
                SECUREML_MASTER_KEY=KEY,
            ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + 240
        while not re.search(r"Spark Connect server started at", log.read_text("utf-8")):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < end, log.read_text("utf-8")
            time.sleep(0.05)
        yield f"sc://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def test_a_client_hides_and_recovers_frames_and_files(server: str, tmp_path: Path) -> None:
    client = subprocess.run(
        [sys.executable, "-c", CLIENT, server, str(tmp_path / "hidden")],
        cwd=tmp_path,
        env=spark_environment(tmp_path, SECUREML_ENV="development", SECUREML_MASTER_KEY=KEY),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert client.returncode == 0, client.stderr[:3000]
    assert client.stdout == "all of it\n"
    assert KEY not in (tmp_path / "log").read_text("utf-8")
