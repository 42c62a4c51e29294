"""What docs/postgres.md says, followed on a real server."""

from __future__ import annotations

import os
from typing import Any

import pytest

from docs.conftest import ROOT
from helpers.postgres import PASSWORD, USER, Postgres


def test_the_page_on_postgres_works(
    database: Postgres, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The page names neither port nor password.
    variables = {"PGHOST": "127.0.0.1", "PGPORT": str(database.port), "PGUSER": USER}
    variables |= {"PGPASSWORD": PASSWORD, "PGOPTIONS": "-c client_min_messages=warning"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    path = os.pathsep.join((str(database.programs), reader.environment["PATH"]))
    reader.environment |= variables | {"PATH": path}
    reader.follow(ROOT / "docs/postgres.md")
