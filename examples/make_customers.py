"""Make customers.csv: made-up customers of several countries, the same bytes every time.

Made with Faker 40.54.0 (``pip install Faker==40.54.0``); another version may give other names.

    python make_customers.py [file]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from faker import Faker

SEED = 20_250_301
CUSTOMERS = 5_940
DUPLICATES = 60
BIRTHS = date(1930, 1, 1), date(2006, 12, 31)

# Locale, country, share of the customers.
COUNTRIES = (
    ("en_US", "US", 34),
    ("en_GB", "GB", 10),
    ("en_CA", "CA", 6),
    ("en_IE", "IE", 4),
    ("fr_FR", "FR", 7),
    ("de_DE", "DE", 7),
    ("es_ES", "ES", 5),
    ("it_IT", "IT", 4),
    ("pt_BR", "BR", 3),
    ("nl_NL", "NL", 4),
    ("sv_SE", "SE", 2),
    ("pl_PL", "PL", 3),
    ("cs_CZ", "CZ", 3),
    ("el_GR", "GR", 2),
    ("ru_RU", "RU", 2),
    ("ja_JP", "JP", 2),
    ("zh_CN", "CN", 1),
    ("ko_KR", "KR", 1),
)
COLUMNS = (
    "customer_id",
    "name",
    "email",
    "ssn",
    "phone",
    "card_number",
    "date_of_birth",
    "postcode",
    "country",
    "income",
)
SURNAMES = ("O'Neil", "O’Brien", "D'Angelo", "St. John", "Smith-Jones", "Müller-Lüdenscheid")
# The accents of the last two are combining marks of their own, not part of the letter.
UNUSUAL = (
    "Al",
    "Ng",
    "Bo",
    "Xi",
    "Ó",
    "李",
    "王",
    "Wu Li",
    "Jose\u0301 Nu\u0301n\u0303ez",
    "Zoe\u0308",
)
CARDS = ("visa16", "visa16", "mastercard", "mastercard", "discover", "amex")

Row = tuple[object, ...]


def make_rows() -> list[Row]:
    """Make all rows, in the file's order."""
    chance = random.Random(SEED)
    fakers = {locale: Faker(locale) for locale, _, _ in COUNTRIES}
    for number, faker in enumerate(fakers.values()):
        faker.seed_instance(SEED + number)
    places = chance.choices(COUNTRIES, [share for _, _, share in COUNTRIES], k=CUSTOMERS)
    rows = [
        make_row(number, fakers[locale], fakers["en_US"], country, chance)
        for number, (locale, country, _) in zip(make_ids(chance), places, strict=True)
    ]
    for row in chance.sample(rows, DUPLICATES):
        rows.insert(chance.randrange(len(rows)), row)
    return rows


def make_ids(chance: random.Random) -> list[int]:
    """Make different numbers of seven, eight and nine digits."""
    third = CUSTOMERS // 3
    numbers = [
        number
        for digits in (7, 8, 9)
        for number in chance.sample(range(10 ** (digits - 1), 10**digits), third)
    ]
    chance.shuffle(numbers)
    return numbers


def make_row(number: int, faker: Faker, cards: Faker, country: str, chance: random.Random) -> Row:
    """Make one customer; not every country's Faker knows every kind of card."""
    return (
        number,
        perhaps(make_name(faker, country, chance), chance, null=0.003, blank=0.003),
        perhaps(faker.email(), chance, null=0.03, blank=0.01),
        perhaps(faker.ssn(), chance, null=0.02) if country == "US" else None,
        perhaps(faker.phone_number(), chance, null=0.04, blank=0.01),
        perhaps(make_card(cards, chance), chance, null=0.10),
        perhaps(str(faker.date_between(*BIRTHS)), chance, null=0.01),
        perhaps(faker.postcode(), chance, null=0.02, blank=0.005),
        country,
        perhaps(str(100 * round(chance.lognormvariate(6.0, 0.5))), chance, null=0.06),
    )


def make_name(faker: Faker, country: str, chance: random.Random) -> str:
    """Make a name, now and then one that is hard on software."""
    if chance.random() < 0.012:
        return chance.choice(UNUSUAL)
    if country in {"US", "GB", "CA", "IE", "DE", "IT"} and chance.random() < 0.03:
        return f"{faker.first_name()} {chance.choice(SURNAMES)}"
    return str(faker.name())


def make_card(faker: Faker, chance: random.Random) -> str:
    """Make a card number with a valid check digit, a third of them spaced in fours."""
    digits = str(faker.credit_card_number(chance.choice(CARDS)))
    if len(digits) == 16 and chance.random() < 0.4:
        return " ".join(digits[start : start + 4] for start in range(0, 16, 4))
    return digits


def perhaps(value: str, chance: random.Random, *, null: float, blank: float = 0.0) -> str | None:
    """Lose the value now and then, in one of the two ways that real tables do."""
    draw = chance.random()
    if draw < null:
        return None
    return "" if draw < null + blank else value


def write(rows: Sequence[Row], file: Path) -> None:
    """Write a null as nothing and a blank as ``""``, which the csv module does not tell apart."""
    lines = [",".join(COLUMNS), *(",".join(map(cell, row)) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def cell(value: object) -> str:
    """Format one cell after RFC 4180."""
    if value is None:
        return ""
    text = str(value)
    if text and not set(text) & set(',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'


if __name__ == "__main__":
    write(make_rows(), Path(sys.argv[1] if len(sys.argv) > 1 else "customers.csv"))
