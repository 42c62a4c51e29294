"""Two generated tables and the example data, with what a scan should find in each.

The columns that are personal data are named beside the kind that a scan should take them for;
all others are there to mislead it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from faker import Faker

__all__ = ["ScanSet", "scan_sets", "scores"]

CUSTOMERS = Path(__file__).parents[1] / "examples" / "customers.csv"


@dataclass(frozen=True)
class ScanSet:
    """One table.

    Args:
        name: what to call it.
        table: the table, all of it text.
        personal: the columns that are personal data, and their kinds.
    """

    name: str
    table: pd.DataFrame
    personal: Mapping[str, str]


def scan_sets(rows: int = 2_000) -> list[ScanSet]:
    """Return the example data and the generated tables."""
    customers = pd.read_csv(CUSTOMERS, dtype=str, keep_default_na=False)
    return [
        ScanSet(
            "examples/customers.csv",
            customers,
            {
                "customer_id": "identifier",
                "name": "name of a person",
                "email": "e-mail address",
                "ssn": "US social security number",
                "phone": "telephone number",
                "card_number": "card number",
                "date_of_birth": "date of birth",
                "postcode": "postcode",
            },
        ),
        _employees(rows),
        _visits(rows),
    ]


def scores(found: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[float, float]:
    """Return precision and recall; a column of another kind than it was taken for is neither.

    Args:
        found: by column, the kind that was proposed.
        wanted: by column, the kind that it is.
    """
    right = sum(wanted.get(column) == kind for column, kind in found.items())
    return right / len(found) if found else 1.0, right / len(wanted)


def _employees(rows: int) -> ScanSet:
    """Staff of a company: written in camel case and German, with blanks."""
    fake, chance = Faker(["de_DE", "en_GB", "fr_FR"]), random.Random(1)
    fake.seed_instance(1)
    table = {
        "employeeId": [str(100_000 + 7 * number) for number in range(rows)],
        "Vorname": [fake.first_name() for _ in range(rows)],
        "lastName": [fake.last_name() for _ in range(rows)],
        "workMail": [fake.company_email() for _ in range(rows)],
        "bank": [fake.iban() for _ in range(rows)],
        "birthday": [fake.date_of_birth().strftime("%d.%m.%Y") for _ in range(rows)],
        "mobile": [fake.phone_number() for _ in range(rows)],
        "homeAddress": [fake.address().replace("\n", ", ") for _ in range(rows)],
        "lastLoginFrom": [fake.ipv4() for _ in range(rows)],
        "department": [chance.choice(["Sales", "R&D", "Legal", "IT"]) for _ in range(rows)],
        "companyName": [fake.company() for _ in range(rows)],
        "salary": [str(chance.randrange(30_000, 120_000, 100)) for _ in range(rows)],
        "hiredOn": [str(fake.date_between("-20y")) for _ in range(rows)],
        "fileName": [fake.file_name() for _ in range(rows)],
        "vacationDays": [str(chance.randrange(0, 31)) for _ in range(rows)],
    }
    for name in ("mobile", "bank", "lastLoginFrom"):
        table[name] = ["" if chance.random() < 0.2 else value for value in table[name]]
    return ScanSet(
        "employees",
        pd.DataFrame(table),
        {
            "employeeId": "identifier",
            "Vorname": "name of a person",
            "lastName": "name of a person",
            "workMail": "e-mail address",
            "bank": "IBAN",
            "birthday": "date of birth",
            "mobile": "telephone number",
            "homeAddress": "postal address",
            "lastLoginFrom": "IP address",
        },
    )


def _visits(rows: int) -> ScanSet:
    """Visits to a clinic: names that say nothing, and figures that look like identifiers."""
    fake, chance = Faker(["en_US", "es_ES"]), random.Random(2)
    fake.seed_instance(2)
    table = {
        "record": [fake.uuid4() for _ in range(rows)],
        "patient": [fake.name() for _ in range(rows)],
        "contact1": [fake.ascii_free_email() for _ in range(rows)],
        "contact2": [f"+1 {chance.randrange(201, 989)} 555 {n % 10000:04d}" for n in range(rows)],
        "paid_with": [fake.credit_card_number() for _ in range(rows)],
        "social": [fake.ssn() for _ in range(rows)],
        "dob": [str(fake.date_of_birth()) for _ in range(rows)],
        "zip": [fake.postcode() for _ in range(rows)],
        "client_ip": [fake.ipv6() for _ in range(rows)],
        "notes": [fake.sentence() for _ in range(rows)],
        "visit_date": [str(fake.date_between("-5y")) for _ in range(rows)],
        "invoice_number": [f"{20_000_000 + number}" for number in range(rows)],
        "batch": [f"{chance.randrange(10**15):016d}" for _ in range(rows)],
        "icd10": [f"{chance.choice('ABCJ')}{chance.randrange(10, 99)}" for _ in range(rows)],
        "product_name": [fake.word().title() for _ in range(rows)],
        "city": [fake.city() for _ in range(rows)],
        "temperature": [f"{chance.gauss(37, 0.6):.1f}" for _ in range(rows)],
        "room": [f"{chance.randrange(100, 999)}-{chance.randrange(10, 99)}" for _ in range(rows)],
    }
    ssns = Faker("en_US")
    ssns.seed_instance(3)
    table["social"] = [ssns.ssn() for _ in range(rows)]
    return ScanSet(
        "visits",
        pd.DataFrame(table),
        {
            "record": "UUID",
            "patient": "name of a person",
            "contact1": "e-mail address",
            "contact2": "telephone number",
            "paid_with": "card number",
            "social": "US social security number",
            "dob": "date of birth",
            "zip": "postcode",
            "client_ip": "IP address",
            "notes": "free text",
        },
    )
