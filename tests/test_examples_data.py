"""What customers.csv promises, so that the demonstration and the benchmarks can rely on it."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import unicodedata
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import csv

EXAMPLES = Path(__file__).parents[1] / "examples"
FILE = EXAMPLES / "customers.csv"
SCRIPT = EXAMPLES / "make_customers.py"


@pytest.fixture(scope="module")
def customers() -> pa.Table:
    texts = ("name", "email", "ssn", "phone", "card_number", "date_of_birth", "postcode")
    options = csv.ConvertOptions(
        column_types={"customer_id": pa.int64(), "income": pa.int64()}
        | dict.fromkeys(texts, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return csv.read_csv(FILE, convert_options=options)


def values(table: pa.Table, column: str) -> list[str]:
    return [value for value in table[column].to_pylist() if value]


def luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def test_the_example_table_is_large_enough(customers):
    assert customers.num_rows >= 5_000
    assert customers.column_names == [
        *("customer_id", "name", "email", "ssn", "phone", "card_number"),
        *("date_of_birth", "postcode", "country", "income"),
    ]


def test_ids_have_seven_to_nine_digits_and_are_unique_but_for_duplicate_rows(customers):
    ids = customers["customer_id"].to_pylist()
    assert {len(str(number)) for number in ids} == {7, 8, 9}
    rows = {tuple(row.values()) for row in customers.to_pylist()}
    assert len(rows) == len(set(ids))
    assert len(ids) - len(rows) >= 50


def test_names_are_as_varied_as_people(customers):
    names = values(customers, "name")
    assert {len(name) for name in names} >= {1, 2}
    for mark in "'’-. ":
        assert sum(mark in name for name in names) >= 5
    scripts = {unicodedata.name(letter).split()[0] for letter in "".join(names) if letter.isalpha()}
    assert scripts >= {"LATIN", "GREEK", "CYRILLIC", "CJK", "HANGUL"}
    assert sum(not name.isascii() for name in names) >= 500
    assert sum(not unicodedata.is_normalized("NFC", name) for name in names) >= 5


def test_social_security_numbers_are_possible_ones_and_american(customers):
    by_country = zip(customers["country"].to_pylist(), customers["ssn"].to_pylist(), strict=True)
    numbers = [number for country, number in by_country if number is not None and country == "US"]
    assert len(numbers) >= 1_000
    assert len(numbers) == len(values(customers, "ssn"))
    possible = re.compile(r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}")
    assert [number for number in numbers if not possible.fullmatch(number)] == []


def test_card_numbers_have_valid_check_digits(customers):
    cards = values(customers, "card_number")
    assert [card for card in cards if not luhn(card.replace(" ", ""))] == []
    shapes = {re.sub(r"\d", "9", card) for card in cards}
    assert shapes == {"9" * 15, "9" * 16, "9999 9999 9999 9999"}


def test_formats_are_national(customers):
    shapes = {re.sub(r"\d", "9", phone) for phone in values(customers, "phone")}
    assert shapes >= {"(999)999-9999", "+99 (9)9 99 99 99 99", "+99 999 999 999", "999-9999-9999"}
    postcodes = " ".join(values(customers, "postcode"))
    assert re.search(r"\b[A-Z]{1,2}\d{1,2} \d[A-Z]{2}\b", postcodes)
    assert re.search(r"\b[A-Z]\d[A-Z]\d[A-Z]\d\b", postcodes)
    assert re.search(r"\b\d{4} ?[A-Z]{2}\b", postcodes)
    assert re.search(r"\b\d{5}\b", postcodes)
    assert all(
        re.fullmatch(r"[^@ ]+@example\.(com|net|org)", e) for e in values(customers, "email")
    )


def test_dates_of_birth_are_dates(customers):
    births = [date.fromisoformat(text) for text in values(customers, "date_of_birth")]
    assert min(births).year >= 1930
    assert max(births).year <= 2006


@pytest.mark.parametrize(
    "column", ["name", "email", "phone", "card_number", "date_of_birth", "postcode", "income"]
)
def test_every_personal_column_has_nulls(customers, column):
    assert customers[column].null_count >= 5


@pytest.mark.parametrize("column", ["name", "email", "phone", "postcode"])
def test_some_columns_have_blanks_too(customers, column):
    assert pc.sum(pc.equal(customers[column], "")).as_py() >= 5


def test_the_script_makes_the_same_bytes(tmp_path):
    wanted = re.search(r"Faker==([\d.]+)", SCRIPT.read_text(encoding="utf-8"))
    assert wanted
    try:
        installed = importlib.metadata.version("Faker")
    except importlib.metadata.PackageNotFoundError:
        installed = "none"
    if installed != wanted[1]:
        pytest.skip(f"needs Faker {wanted[1]}; installed: {installed}")
    made = tmp_path / "customers.csv"
    subprocess.run([sys.executable, SCRIPT, made], check=True, timeout=120)
    assert made.read_bytes() == FILE.read_bytes()
