from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from secureml import KeyManager, anonymize
from secureml.errors import PseudonymizationError
from secureml.scanning import Proposal, scan
from secureml.settings.rules import Rules
from secureml.stores import MemoryStore

CUSTOMERS = Path(__file__).parents[1] / "examples" / "customers.csv"
MANY = 200
SSNS = ["219-09-9999", None, "", "123-45-6789"]
EMAILS = [f"user{number}@example.com" for number in range(MANY)]


def found(**columns: list[object]) -> dict[str, Proposal]:
    return {proposal.column: proposal for proposal in scan(pd.DataFrame(columns))}


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("contact", EMAILS, "e-mail address"),
        ("c1", ["GB82 WEST 1234 5698 7654 32", "DE89 3704 0044 0532 0130 00"] * 5, "IBAN"),
        ("c1", ["4111 1111 1111 1111", "5500000000000004"] * 5, "card number"),
        ("c1", ["123-45-6789", "219-09-9999"] * 5, "US social security number"),
        ("ssn", ["123456789", "219099999"] * 5, "US social security number"),
        ("c1", ["b54d54b4-4f0b-4b59-9f9a-0d6bd6b1ac44"] * 3, "UUID"),
        ("c1", ["192.0.2.1", "198.51.100.77"], "IP address"),
        ("c1", ["2001:db8::1", "2001:db8::ff00:42:8329"], "IP address"),
        ("homePhone", ["+1 (846) 598-1220", "020 7946 0958", ""], "telephone number"),
        ("dob", ["1970-01-31", "1999-12-01"], "date of birth"),
        ("Geburtsdatum", ["31.01.1970", "1.12.1999"], "date of birth"),
        ("first_name", ["Zoë", "Łukasz", "O'Neill"], "name of a person"),
        ("street", ["Main St 5", "Rue de l’Été 12"], "postal address"),
        ("zip", ["90210", "K1A 0B1"], "postcode"),
        ("customer_id", [str(10_000 + number) for number in range(50)], "identifier"),
        ("notes", ["called on Monday", "asked for a refund"], "free text"),
    ],
)
def test_a_kind_is_known_by_its_name_and_its_values(
    name: str, values: list[object], kind: str
) -> None:
    proposal = found(**{name: values})[name]
    assert proposal.kind == kind
    assert proposal.share > 0.9
    assert f"of {sum(value != '' for value in values)} values" in proposal.evidence


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("number", [f"{number:016d}" for number in range(0, 10**6, 977)]),  # a tenth passes Luhn
        ("id9", [f"{number:09d}" for number in range(1, 10**6, 977)]),
        ("order_date", ["2026-01-31", "2026-12-01"]),
        ("product_name", ["Chair", "Table"]),
        ("file_name", ["report.pdf", "notes.txt"]),
        ("email", ["yes", "no"]),
        ("card", ["gold", "silver"]),
        ("phone_model", ["3310", "6110"]),
        ("amount", ["12.50", "80.00"]),
        ("empty", ["", "", ""]),
        ("nothing", [None, None]),
    ],
)
def test_values_that_are_no_personal_data_are_left_alone(name: str, values: list[object]) -> None:
    assert found(**{name: values}) == {}


def test_a_few_odd_values_do_not_hide_a_column() -> None:
    column = [*EMAILS, "n/a", None, ""]
    proposal = found(contact=column)["contact"]
    assert proposal.share == MANY / (MANY + 1)
    assert "99.5% of 201 values" in proposal.evidence


def test_the_sample_is_spread_over_the_column() -> None:
    column = ["x"] * 10_000 + EMAILS * 100
    assert scan(pd.DataFrame({"contact": column}), sample=100) == ()
    column = ["x"] * 500 + EMAILS * 100
    (proposal,) = scan(pd.DataFrame({"contact": column}), sample=100)
    assert proposal.share < 1


def test_the_proposals_are_rules_that_work() -> None:
    table = pd.read_csv(CUSTOMERS, dtype=str, keep_default_na=False)
    proposals = scan(table)
    rules = Rules(tuple((proposal.column, proposal.rule) for proposal in proposals))
    keys = KeyManager(store=MemoryStore(), columns=rules)
    keys.generate_key("master_key")
    hidden = anonymize(table, key_manager=keys)
    assert set(hidden.attrs["secureml"]["columns"]) == {one.column for one in proposals}
    assert {"name", "email", "ssn", "card_number", "phone"} <= {one.column for one in proposals}


def test_scan_takes_a_frame_with_distinct_text_names_alone() -> None:
    assert scan(pd.DataFrame({1: EMAILS})) == ()
    with pytest.raises(PseudonymizationError, match="more than once"):
        scan(pd.DataFrame([["a", "b"]], columns=["x", "x"]))
    with pytest.raises(TypeError):
        scan([1])  # type: ignore[arg-type]  # the wrong type is the test


@pytest.mark.parametrize(
    ("array", "seen"),
    [
        (pa.array(SSNS, pa.string_view()), True),
        (pc.run_end_encode(pa.array(SSNS)), True),
        (pa.array([b"a", None], pa.binary_view()), False),
        (pa.array([["a"], None]), False),
        (pa.array([{"a": 1}, None]), False),
        (pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int32())), False),
        # From pyarrow 19 on there are smaller decimals.
        *(
            (pa.array([Decimal(1), None], kind(5, 2)), False)
            for kind in (getattr(pa, "decimal32", pa.decimal128), pa.decimal256)
        ),
    ],
)
def test_columns_of_every_type_of_arrow_are_looked_at(array: Any, seen: bool) -> None:
    column = pd.arrays.ArrowExtensionArray(array)
    proposals = scan(pd.DataFrame({"ssn": column, "account": column}))
    assert ("ssn" in {one.column for one in proposals}) == seen


AFTER_9999 = 253_402_300_800
MOMENTS = [AFTER_9999, -62_135_596_801, *(86_400 * day for day in range(MANY))]
DAYS = pa.array([moment // 86_400 for moment in MOMENTS], pa.int32()).cast(pa.date32())


@pytest.mark.parametrize(
    "array",
    [
        *(pa.array(MOMENTS, pa.timestamp("s", zone)) for zone in (None, "UTC", "Nowhere/At_All")),
        pa.array([1000 * moment for moment in MOMENTS], pa.timestamp("ms")).dictionary_encode(),
        *(DAYS.cast(kind) for kind in (pa.date32(), pa.date64())),
        pa.array([10**15] * 3, pa.duration("s")),
        pa.array([86_400] * 3, pa.int32()).cast(pa.time32("s")),
    ],
    ids=lambda array: str(array.type),
)
@pytest.mark.parametrize("kind", [pd.DataFrame, pa.table])
def test_moments_that_python_does_not_have_are_looked_at(array: pa.Array, kind: Any) -> None:
    column = pd.arrays.ArrowExtensionArray(array) if kind is pd.DataFrame else array
    proposals = {one.column: one.share for one in scan(kind({"birth": column}))}
    assert ("birth" in proposals) == (len(array) == len(MOMENTS))
    assert all(0.9 < share < 1 for share in proposals.values())


def test_moments_that_python_does_not_have_inside_of_others_are_our_error() -> None:
    array = pa.array([{"at": AFTER_9999}], pa.struct([("at", pa.timestamp("s"))]))
    frame = pd.DataFrame({"birth": pd.arrays.ArrowExtensionArray(array)})
    with pytest.raises(PseudonymizationError, match="column 'birth' holds moments that Python"):
        scan(frame)


def test_objects_that_have_no_hash_are_looked_at() -> None:
    assert scan(pd.DataFrame({"login": [["a"], {"b": 1}]})) == ()


def test_strings_that_are_not_utf8_are_an_error_that_names_the_column() -> None:
    octets = pa.array([b"\xbc-12-3456"] * 3)
    strings = pa.Array.from_buffers(pa.string(), 3, octets.buffers())
    with pytest.raises(PseudonymizationError, match="column 'ssn' holds strings that are not UTF"):
        scan(pd.DataFrame({"ssn": pd.arrays.ArrowExtensionArray(strings)}))
