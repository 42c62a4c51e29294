"""What ``secureml demo`` does, step by step; it reads no settings and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import io
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from secureml.anonymization import anonymize, reidentify
from secureml.cli.base import note
from secureml.cli.output import show, show_table
from secureml.errors import ConfigurationError, MissingExtraError, SecureMLError
from secureml.key_management import KeyManager
from secureml.settings import ENVIRONMENTS, Settings
from secureml.vault.devserver.server import DevServer

__all__ = ["run"]

_FORMATS = {"email": "email", "ssn": "ssn", "card_number": "credit_card"}
_KEY = "master_key"
_ROWS_SHOWN = 4
_SEED = 6  # picks rows of several countries from the example
_EXAMPLE = Path("examples", "customers.csv")
_SENSITIVE = ("name", "email", "ssn", "phone", "card_number", "postcode")
_BUILT_IN = """\
customer_id,name,email,ssn,phone,card_number,postcode
10482731,Tina Hoffmann,tina@example.org,213-03-0890,+1 (846) 598-1220,4951601736867108,43430
10482732,Zoë O'Neil-Dupré,zoe@example.net,,020 7946 0958,2701 0332 9457 3174,IM89 1DF
10482733,Łukasz Wiśniewski,lukasz@example.com,,512 555 017,4765460840182243,30-001
10482734,Al,al.ng@example.org,836-77-1236,(555) 010-4477,2548202648112321,90210-1234
"""


def run(environment: str, data: Path | None) -> None:
    """Show the whole path, printing each step.

    Args:
        environment: the environment whose key the table is pseudonymized under.
        data: a CSV file; None for the example or the built-in table.

    Raises:
        ConfigurationError: there is no such environment, or the file is no CSV.
        SecureMLError: a step failed.
    """
    environment = Settings(environment=environment).environment or ""
    if environment not in ENVIRONMENTS:
        raise ConfigurationError(f"the demonstration has keys for {', '.join(ENVIRONMENTS)} alone")
    table = _read(data)
    columns = _sensitive_columns(table)
    with tempfile.TemporaryDirectory(prefix="secureml-demo-") as folder:
        server = _server(folder)
        if server is None:
            _without_server(table, columns)
        else:
            _with_server(server, environment, table, columns)


def _with_server(
    server: DevServer, environment: str, table: pd.DataFrame, columns: Sequence[str]
) -> None:
    started = time.perf_counter()
    with server:
        show(f"OpenBao runs at {server.url} ({time.perf_counter() - started:.1f} s).")
        show("", "A master key for each environment:")
        for name in ENVIRONMENTS:
            with _manager(server, name) as manager:
                made = manager.generate_key(_KEY)
            show(f"  {made.path}  version {made.version}  fingerprint {made.fingerprint}")
        with _manager(server, environment) as manager:
            protected = _pseudonymize(table, columns, manager)
            _recover(table, protected, manager)
            made = manager.rotate_key(_KEY)
            show(
                "",
                f"The key is rotated to version {made.version}, fingerprint {made.fingerprint}. "
                "The table is still that of version 1.",
            )
            _recover(table, protected, manager)
    show("", "The server is stopped, and all it held is gone.")


def _without_server(table: pd.DataFrame, columns: Sequence[str]) -> None:
    settings = Settings(
        environment="development", use_env_fallback=False, use_default_fallback=True
    )
    with KeyManager(settings=settings) as manager:
        protected = _pseudonymize(table, columns, manager)
        _recover(table, protected, manager)
    show("", "The development key has no versions: rotation takes a server.")


def _server(folder: str) -> DevServer | None:
    """Return a server to start; None, with a note, if an extra is missing."""
    try:
        if importlib.util.find_spec("hvac") is None:
            raise MissingExtraError.of("vault", "Vault")
        return DevServer(folder)
    except MissingExtraError as error:
        note(f"{error.message}; this runs on the development key instead")
        return None


def _manager(server: DevServer, environment: str) -> KeyManager:
    # Finished settings: no file, no variable and no other layer takes part.
    settings = Settings(
        environment=environment,
        vault_url=server.url,
        vault_token=server.root_token,
        use_env_fallback=False,
    )
    return KeyManager(settings=settings)


def _pseudonymize(table: pd.DataFrame, columns: Sequence[str], manager: KeyManager) -> pd.DataFrame:
    key = manager.get_key(_KEY)
    started = time.perf_counter()
    protected = anonymize(
        table,
        method="pseudonymization",
        strategy="fpe",
        sensitive_columns=columns,
        master_key_name=_KEY,
        formats={name: form for name, form in _FORMATS.items() if name in columns},
        small_domain="token",
        on_invalid="token",
        key_manager=manager,
    )
    seconds = time.perf_counter() - started
    show(
        "",
        f"{len(table):,} rows, {len(columns)} columns pseudonymized in {seconds:.2f} s under the "
        f"key of {manager.environment}, fingerprint {key.fingerprint}:",
    )
    _print(table[columns], protected[columns])
    tokens = {
        name: column["tokens"]
        for name, column in protected.attrs["secureml"]["columns"].items()
        if column["tokens"]
    }
    if tokens:
        listing = ", ".join(f"{count:,} in {name}" for name, count in tokens.items())
        show(f"Too short to keep their format, and replaced by tokens: {listing}.")
    return protected


def _recover(table: pd.DataFrame, protected: pd.DataFrame, manager: KeyManager) -> None:
    recovered = reidentify(protected, key_manager=manager)
    if not recovered.equals(table):
        raise SecureMLError("what was recovered is not the original")
    version = protected.attrs["secureml"]["key"]["version"]
    under = f" with version {version} of the key" if version else ""
    show(f"Recovered{under}: all {len(table):,} rows equal the original.")


def _read(data: Path | None) -> pd.DataFrame:
    """Read a table, every column but whole numbers as text."""
    source = data or (_EXAMPLE if _EXAMPLE.is_file() else None)
    problem = None
    try:
        return pd.read_csv(source or io.StringIO(_BUILT_IN), dtype=dict.fromkeys(_SENSITIVE, "str"))
    except (OSError, ValueError) as error:
        problem = f"{source} can't be read as CSV ({type(error).__name__})"
    raise ConfigurationError(problem)


def _sensitive_columns(table: pd.DataFrame) -> list[str]:
    known = [name for name in table.columns if name in _SENSITIVE]
    columns = known or list(table.select_dtypes(["object", "string"]).columns)
    if not columns:
        raise ConfigurationError("the table has no column of text to pseudonymize")
    return columns


def _print(before: pd.DataFrame, after: pd.DataFrame) -> None:
    """Print some rows of both tables side by side, without what is null."""
    listing: list[Sequence[object]] = []
    shown = before.reset_index(drop=True).sample(min(_ROWS_SHOWN, len(before)), random_state=_SEED)
    for row in shown.index:
        for place, name in enumerate(before.columns):
            if not pd.isna(before.iat[row, place]):
                listing.append((name, before.iat[row, place], after.iat[row, place]))
        listing.append(())
    show_table(("column", "before", "after"), listing)
