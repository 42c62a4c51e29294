"""A PostgreSQL of the test's own, on a loopback port."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

USER, PASSWORD = "tester", "c4nary-password"
_INITDB = ("--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--no-instructions")


def binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL of the machine, or None."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    if not found and on_path:
        return Path(on_path).resolve().parent
    return max(found, key=lambda folder: int(folder.parent.name), default=None)


@dataclass(frozen=True)
class Postgres:
    """A database of a server, and how it is reached."""

    folder: Path
    programs: Path
    port: int
    name: str = "postgres"

    @property
    def url(self) -> str:
        return self.url_with()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def url_with(self, credentials: str = f"{USER}:{PASSWORD}@") -> str:
        return f"postgresql://{credentials}127.0.0.1:{self.port}/{self.name}"

    def made(self, name: str) -> Postgres:
        """Make another database."""
        self.run(f'CREATE DATABASE "{name}"')
        return replace(self, name=name)

    def clear(self) -> None:
        """Drop everything that was made in it."""
        schemas = self.rows(
            "SELECT pg_catalog.quote_ident(nspname) FROM pg_catalog.pg_namespace"
            " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        )
        self.run(
            *(f"DROP SCHEMA {name} CASCADE" for (name,) in schemas),
            "CREATE SCHEMA public",
            "GRANT USAGE ON SCHEMA public TO PUBLIC",
        )

    def run(self, *statements: str) -> None:
        with self._cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(query)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    def value(self, query: str) -> Any:
        [(found,)] = self.rows(query)
        return found

    def tables(self) -> list[str]:
        """Return the names of all tables, views and types that somebody made."""
        mine = "nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
        query = (
            "SELECT relname::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            f" WHERE relkind IN ('r', 'p', 'v', 'm') AND {mine} UNION ALL SELECT typname::text"
            f" FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace WHERE typtype = 'd'"
            f" AND {mine} ORDER BY 1"
        )
        return [name for (name,) in self.rows(query)]

    def dump(self) -> str:
        done = subprocess.run(
            [self.programs / "pg_dump", "--dbname", self.url],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Any]:
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(self.url, autocommit=True) as connection, connection.cursor() as cursor:
            yield cursor


@contextlib.contextmanager
def server(*options: str) -> Iterator[Postgres]:
    """Run a server until the block ends; options such as ``fsync=off`` go to its configuration."""
    programs = binaries()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="secureml-postgres-"))
    # initdb and the server refuse root.
    account = pwd.getpwnam(_account()) if os.geteuid() == 0 else None
    (folder / "password").write_text(PASSWORD)
    if account is not None:
        for path in (folder, folder / "password"):
            os.chown(path, account.pw_uid, account.pw_gid)
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    how: dict[str, Any] = {"cwd": folder, "env": environment}
    if account is not None:
        how |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    process = None
    try:
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", USER, "--pwfile=password", *_INITDB],
            stdout=subprocess.DEVNULL,
            check=True,
            **how,
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories="]
        settings += ["max_wal_size=4GB", *options]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data"]
                + [part for setting in settings for part in ("-c", setting)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **how,
            )
        here = Postgres(folder, programs, port)
        _wait(here, process)
        yield here
    finally:
        if process is not None:
            process.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise RuntimeError("there is no user without rights to run the server")


def _wait(here: Postgres, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert process.poll() is None, here.log
        done = subprocess.run(
            [here.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(here.port)],
            check=False,
        )
        if done.returncode == 0:
            return
        time.sleep(0.05)
    raise AssertionError(here.log)
