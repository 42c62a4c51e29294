"""A PostgreSQL database, and what is told of its errors: never what libpq or the server wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import quote

import pyarrow as pa

from secureml.errors import ArgumentError, DatabaseError, MissingExtraError
from secureml.secret_types import SecretText, conceal

__all__ = ["Database", "Session", "concealed", "is_database"]

_URL = re.compile(r"postgres(ql)?://", re.IGNORECASE)
_STATE = re.compile(r"SQLSTATE:? ([0-9A-Z]{5})")
_BATCH_BYTES = 8 << 20
"""About how much of a table is worked on at a time; reading and writing are a batch away."""

_Result = TypeVar("_Result")

_UNREACHABLE = (
    (r"password|authentication|pg_hba|role .* does not exist", "the credentials are not accepted"),
    (r"database .* does not exist", "there is no such database"),
    (r"refused", "nothing listens there"),
    (r"translate host name|name resolution", "there is no such host"),
    (r"time(d )?out", "it did not answer in time"),
    (r"certificate|SSL", "TLS failed: its certificate is not trusted, or it has none"),
    (r"too many (clients|connections)|connection slots", "it takes no more connections"),
    (r"starting up|shutting down|in recovery", "it is starting or shutting down"),
    (
        r"URI|invalid port|invalid (integer )?value|invalid connection option",
        "it is no URL of PostgreSQL",
    ),
)
"""What libpq writes if it can't connect, for which it gives no code, and what is told of it."""

_REFUSED = (
    ("^(08|57P0[1-5])", "the connection was lost"),
    ("^22001", "a value is too long for its column"),
    ("^23", "the rows do not meet a constraint"),
    ("^25006", "it does not take changes: it is a standby, or read-only"),
    ("^2BP01", "other objects, such as views, depend on the table that is to be replaced"),
    ("^3F000", "there is no such schema"),
    ("^42501", "the role has no permission"),
    ("^(42704|42883)", "a type, a collation or a function of the source is missing there"),
    ("^42P01", "there is no such table"),
    ("^42P07", "a table of this name exists already"),
    ("^53100", "the disk is full"),
    ("^53", "it is out of memory or of connections"),
    ("^(55P03|57014)", "it was cancelled, or waited too long for a lock"),
    ("^40", "it collided with another transaction; run it again"),
)
"""What is told of errors of the server, by the beginnings of their codes."""

_WITHOUT_STATE = (
    ("PGRES_FATAL_ERROR", "the server could not go on; its log tells why"),
    ("^(INTERNAL|INVALID_|NOT_IMPLEMENTED)", "a value or a type can't be read or written"),
)
"""What is told of errors of the driver; all others are of a lost connection."""


class Database:
    """Where a database is; how it is shown has no credentials.

    Args:
        url: such as ``postgresql://user@host:5432/records``; what it leaves out is libpq's to
            find: ``PGPASSWORD``, the password file, ``PGSERVICE``.
        password: for a URL without one.

    Raises:
        ArgumentError: it is no URL of PostgreSQL.
    """

    def __init__(self, url: str | SecretText, password: str | SecretText | None = None) -> None:
        url, password = conceal(url), conceal(password)
        if not isinstance(url, SecretText) or not is_database(url.reveal()):
            raise ArgumentError("a database is named by a URL such as postgresql://host/database")
        if isinstance(password, SecretText):
            separator = "&" if "?" in url.reveal() else "?"
            url = conceal(f"{url.reveal()}{separator}password={quote(password.reveal(), safe='')}")
        self._url: SecretText = url
        # A password may hold any character but the last @.
        self.shown: str = re.sub(r"//.*@", "//", url.reveal(), flags=re.DOTALL).partition("?")[0]

    @classmethod
    def of(cls, given: Any) -> Database:
        """Return a database, of which the URL may be given in its place."""
        return given if isinstance(given, Database) else cls(given)

    def __repr__(self) -> str:
        return f"Database({self.shown!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a database may hold a password, and is not pickled")

    @contextmanager
    def session(self, *modes: str) -> Iterator[Session]:
        """Lend a connection in a transaction, which is rolled back unless it is committed.

        Args:
            modes: of the transaction, such as "READ ONLY".

        Raises:
            DatabaseError: it can't be reached.
        """
        session = Session(self.shown, self._connected())
        try:
            if modes:
                session.run(f"SET TRANSACTION {', '.join(modes)}")
            yield session
        finally:
            session.close()

    def _connected(self) -> Any:
        driver = _driver()
        problem = ""
        try:
            return driver.connect(self._url.reveal())
        except driver.Error as error:
            problem = _told_of(str(error), _UNREACHABLE) or "it can't be reached"
        raise DatabaseError(f"{self.shown}: {problem}")


class Session:
    """A connection in one transaction, for one thread at a time.

    Args:
        shown: the database, without credentials.
        connection: of the driver.
    """

    def __init__(self, shown: str, connection: Any) -> None:
        self.shown, self._connection = shown, connection
        self._cursor: Any = connection.cursor()

    def run(self, statement: str, doing: str = "") -> None:
        """Run a statement without a result.

        Args:
            statement: SQL, whose names are quoted.
            doing: what it does, for the error.

        Raises:
            DatabaseError: the server refused it, or the connection was lost.
        """
        self._do(lambda: self._cursor.execute(statement), doing)

    def rows(self, query: str, doing: str = "") -> list[tuple[Any, ...]]:
        """Return the rows of a short result."""

        def fetched() -> list[tuple[Any, ...]]:
            self._cursor.execute(query)
            found: list[tuple[Any, ...]] = self._cursor.fetchall()
            return found

        return self._do(fetched, doing)

    def schema(self, query: str, doing: str) -> pa.Schema:
        """Return the Arrow schema of a result."""

        def described() -> pa.Schema:
            self._cursor.execute(query)
            return self._cursor.fetch_arrow_table().schema

        return self._do(described, doing)

    def batches(self, query: str, doing: str) -> Iterator[pa.RecordBatch]:
        """Read a result in batches of a few megabytes."""

        def started() -> pa.RecordBatchReader:
            options = {"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)}
            self._cursor.adbc_statement.set_options(**options)
            self._cursor.execute(query)
            return self._cursor.fetch_record_batch()

        reader = self._do(started, doing)
        while True:
            batch = self._do(lambda: next(reader, None), doing)
            if batch is None:
                return
            yield batch

    def write(self, table: pa.Table, schema: str, name: str, doing: str) -> None:
        """Append rows to a table by ``COPY``."""
        self._do(
            lambda: self._cursor.adbc_ingest(name, table, mode="append", db_schema_name=schema),
            doing,
        )

    def commit(self) -> None:
        """Make the changes of the transaction last.

        Raises:
            DatabaseError: it was refused, or the connection was lost, and the server may have done
                it.
        """
        self._do(
            self._connection.commit,
            "commit; if the connection was lost, look whether the tables are there",
        )

    def close(self) -> None:
        """Roll back what was not committed, and close the connection."""
        with suppress(_driver().Error):
            self._cursor.close()
        with suppress(_driver().Error):
            self._connection.close()

    def _do(self, work: Callable[[], _Result], doing: str) -> _Result:
        problem = ""
        try:
            return work()
        except (_driver().Error, pa.ArrowException, OSError) as error:
            state = getattr(error, "sqlstate", None) or _state_in(str(error))
            problem = _problem_of(state, str(error))
        raise DatabaseError(f"{self.shown}: {problem}" + (f" ({doing})" if doing else ""))


def concealed(given: str | Database | None) -> Any:
    """Return a database as it was given, so that no traceback shows its URL."""
    return given if given is None or isinstance(given, Database) else conceal(given)


def is_database(address: str) -> bool:
    """Tell whether an address is the URL of a database."""
    return _URL.match(address) is not None


def _problem_of(state: str | None, text: str) -> str:
    """Return what is told of an error, of whose text nothing is repeated.

    Args:
        state: the code of the server; None if the driver gives none.
        text: the message.
    """
    if state is None:
        return _told_of(text, _WITHOUT_STATE) or _REFUSED[0][1]
    return _told_of(state, _REFUSED) or f"the server refused it with SQLSTATE {state}"


def _state_in(text: str) -> str | None:
    found = _STATE.search(text)
    return found[1] if found else None


def _told_of(text: str, problems: Sequence[tuple[str, str]]) -> str | None:
    return next((told for pattern, told in problems if re.search(pattern, text)), None)


def _driver() -> Any:
    with suppress(ImportError):
        from adbc_driver_postgresql import dbapi

        return dbapi
    raise MissingExtraError.of("postgres", "work on tables in PostgreSQL")
