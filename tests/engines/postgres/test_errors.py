"""What goes wrong in a database is told, leaves nothing behind, and shows no secret."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any

import pytest

from helpers.postgres import PASSWORD, USER, Postgres
from secureml.errors import DatabaseError
from secureml.key_management import KeyManager
from secureml.keys import Key
from secureml.postgres import anonymize_tables, reidentify_tables, rekey_tables

VALUE = "c4nary value"


@pytest.fixture
def people(database: Postgres) -> Postgres:
    """A database with a table of several batches."""
    database.run(
        "CREATE TABLE people AS SELECT i AS id, lpad(i::text, 9, '0') AS ssn,"
        f" '{VALUE} ' || i || repeat('x', 90) AS note FROM generate_series(1, 200000) i"
    )
    return database


def everything_of(error: BaseException) -> str:
    """Return all that an error holds: its chain, and the variables of the frames."""
    told = traceback.TracebackException.from_exception(
        error, capture_locals=True, max_group_depth=5
    )
    chained = []
    each: BaseException | None = error
    while each is not None:
        chained += [str(each), repr(each), repr(vars(each))]
        each = each.__context__
    # The frames of this test name the database themselves.
    own = [frame for frame in told.stack if "/tests/" not in frame.filename]
    return "\n".join(chained + [str(frame.locals) for frame in own])


def refused(people: Postgres, manager: KeyManager, **more: Any) -> str:
    """Run a job that fails, and return the message, in whose error there is no secret."""
    arguments: dict[str, Any] = {"sensitive_columns": ["ssn"], "key_manager": manager} | more
    source = arguments.pop("source", people.url)
    tables = arguments.pop("tables", {"people": "hidden"})
    with pytest.raises(DatabaseError) as caught:
        anonymize_tables(source, tables, arguments.pop("target", None), **arguments)
    held = everything_of(caught.value)
    assert PASSWORD not in held
    assert VALUE not in held
    assert caught.value.__context__ is None
    return caught.value.message


def test_a_database_that_can_not_be_opened_is_told(people: Postgres, manager: KeyManager) -> None:
    def source(url: str) -> str:
        return refused(people, manager, source=url)

    shown = people.url_with("")
    wrong = people.url_with(f"{USER}:{PASSWORD}x@")
    assert source(wrong) == f"{shown}: the credentials are not accepted"
    assert source(people.url_with("nobody:word@")) == f"{shown}: the credentials are not accepted"
    assert source(replace(people, name="no").url).endswith("/no: there is no such database")
    assert source(replace(people, port=1).url).endswith(": nothing listens there")
    assert source(people.url + "?no=1") == f"{shown}: it is no URL of PostgreSQL"
    assert source(f"postgresql://a:{PASSWORD}@127.0.0.1:port/x").endswith(
        "it is no URL of PostgreSQL"
    )
    assert source(people.url + "?sslmode=require").endswith(
        "its certificate is not trusted, or it has none"
    )


def test_a_table_that_is_not_there_is_told(people: Postgres, manager: KeyManager) -> None:
    shown = people.url_with("")
    assert refused(people, manager, tables={"People": "a"}) == (
        f"{shown} has no table 'People', or the role may not see it"
    )
    assert refused(people, manager, tables={"people": "no.a"}) == (
        f"{shown}: there is no such schema (make no.a)"
    )


def test_what_a_role_may_not_is_told(people: Postgres, manager: KeyManager) -> None:
    role = f"reader_{people.name}"
    people.run(f"DROP ROLE IF EXISTS {role}", f"CREATE ROLE {role} LOGIN PASSWORD 'reading'")
    reader = people.url_with(f"{role}:reading@")
    shown = people.url_with("")
    assert refused(people, manager, source=reader, target=people.url) == (
        f"{shown}: the role has no permission (read public.people)"
    )
    assert refused(people, manager, target=reader) == (
        f"{shown}: the role has no permission (make public.hidden)"
    )
    assert people.tables() == ["people"]


def test_a_value_that_does_not_fit_is_told_without_it(
    people: Postgres, manager: KeyManager
) -> None:
    people.run("CREATE VIEW twice AS TABLE people UNION ALL TABLE people")
    people.run("CREATE TABLE kept (id integer)", "CREATE VIEW uses AS TABLE kept")
    message = refused(people, manager, tables={"twice": "kept"}, if_exists="replace")
    assert message.endswith(
        "other objects, such as views, depend on the table that is to be replaced"
        ' (replace "public"."kept")'
    )
    assert people.tables() == ["kept", "people", "twice", "uses"]


@pytest.mark.parametrize("query", ['%FROM "public"."people"%', 'COPY "public" . %'])
def test_a_lost_connection_leaves_nothing(
    people: Postgres, manager: KeyManager, query: str
) -> None:
    ended: list[object] = []

    def end(_: object) -> None:
        if not ended:
            ended.extend(
                people.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
                    f" current_database() AND pid <> pg_backend_pid() AND query LIKE '{query}'"
                )
            )

    message = refused(people, manager, on_progress=end)
    assert len(ended) == 1
    doing = "read public.people" if "FROM" in query else "write public.hidden"
    assert message == f"{people.url_with('')}: the connection was lost ({doing})"
    assert people.tables() == ["people"]


def test_an_error_of_the_source_in_the_middle_is_told(
    people: Postgres, manager: KeyManager
) -> None:
    people.run("CREATE VIEW sorted AS SELECT ssn, 1 / (150000 - id) FROM people")
    message = refused(people, manager, tables={"sorted": "hidden"})
    problem = "the server could not go on; its log tells why (read public.sorted)"
    assert message == f"{people.url_with('')}: {problem}"
    assert people.tables() == ["people", "sorted"]


def key_texts(manager: KeyManager) -> list[str]:
    key = manager.get_key("master_key")
    assert isinstance(key, Key)
    material = manager.get_encryption_key("master_key")
    assert isinstance(material, bytes)
    return [
        material.hex(),
        repr(material)[2:-1],
        str(manager.get_encryption_key(encoding="base64")),
    ]


def test_no_log_and_no_dump_holds_a_secret(
    people: Postgres, manager: KeyManager, other: Postgres
) -> None:
    people.run("CREATE TABLE few AS SELECT * FROM people LIMIT 500")
    anonymize_tables(
        people.url,
        {"few": "hidden"},
        other.url,
        ["ssn", "note"],
        strategy="token",
        key_manager=manager,
    )
    manager.rotate_key("master_key")
    rekey_tables(other.url, {"hidden": "moved"}, key_manager=manager)
    reidentify_tables(
        other.url, {"moved": "few"}, people.url, key_manager=manager, if_exists="replace"
    )
    secrets = [*key_texts(manager), PASSWORD]
    held = other.dump()
    assert "secureml" in held
    assert VALUE not in held
    found = [secret for text in (held, people.log) for secret in secrets if secret in text]
    assert not found
    assert "COPY" in people.log
