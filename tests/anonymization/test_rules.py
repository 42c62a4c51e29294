from __future__ import annotations

import warnings

import pandas as pd
import pytest

from secureml import KeyManager, anonymize, reidentify
from secureml.errors import ArgumentError, IrreversibleWarning, PseudonymizationError
from secureml.stores import MemoryStore

COLUMNS = {
    "ssn": {"strategy": "fpe"},
    "*email*": {"strategy": "token", "domain": "email", "prefix": "e_"},
    "total": {"strategy": "keep"},
}
PROFILES = {"research": {"columns": {"total": {"strategy": "mask", "keep_first": 1}}}}
TABLE = pd.DataFrame(
    {
        "ssn": ["123-45-6789", "987-65-4321"],
        "Work_Email": ["ann@example.com", "bob@example.org"],
        "total": [123, 4567],
    }
)


def manager(**settings: object) -> KeyManager:
    made = KeyManager(store=MemoryStore(), **{"columns": COLUMNS, "profiles": PROFILES, **settings})
    made.generate_key("master_key")
    return made


def test_the_rules_say_which_columns_and_how() -> None:
    keys = manager()
    hidden = anonymize(TABLE, key_manager=keys)
    assert set(hidden.attrs["secureml"]["columns"]) == {"ssn", "Work_Email"}
    assert hidden["Work_Email"].str.startswith("e_").all()
    assert hidden["ssn"].str.fullmatch(r"\d{3}-\d\d-\d{4}").all()
    assert hidden["total"].equals(TABLE["total"])
    assert hidden.attrs["secureml"]["columns"]["Work_Email"]["domain"] == "email"
    pd.testing.assert_frame_equal(reidentify(hidden, key_manager=keys), TABLE)


def test_a_profile_stands_over_the_rules_for_all() -> None:
    hidden = anonymize(TABLE, profile="research", key_manager=manager())
    assert hidden["total"].tolist() == ["1**", "4***"]
    assert set(hidden.attrs["secureml"]["columns"]) == {"ssn", "Work_Email", "total"}
    with pytest.raises(PseudonymizationError, match="did you mean 'research'"):
        anonymize(TABLE, profile="reseach", key_manager=manager())


def test_the_domain_prefix_of_argument_profile_and_settings() -> None:
    keys = manager(
        domain_prefix="house",
        profiles={**PROFILES, "press": {"domain_prefix": "press"}},
    )

    def ssns(**arguments: object) -> tuple[str, ...]:
        hidden = anonymize(TABLE, key_manager=keys, **arguments)  # type: ignore[call-overload]
        pd.testing.assert_series_equal(reidentify(hidden, key_manager=keys)["ssn"], TABLE["ssn"])
        entries = hidden.attrs["secureml"]["columns"].values()
        assert len({entry["domain_prefix"] for entry in entries}) == 1
        return tuple(hidden["ssn"])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IrreversibleWarning)
        house, press = ssns(), ssns(profile="press")
        assert house == ssns(profile="research") == ssns(domain_prefix="house")
        assert (
            press == ssns(domain_prefix="press") == ssns(domain_prefix="press", profile="research")
        )
        none = ssns(domain_prefix="", profile="press")
    assert len({house, press, none}) == 3
    assert none == tuple(anonymize(TABLE, key_manager=shared(keys))["ssn"])
    preview = anonymize(TABLE, key_manager=keys, preview=1)
    assert [one.domain_prefix for one in preview.columns] == ["house", "house"]
    with pytest.raises(ArgumentError, match="domain_prefix must be a name, not int"):
        anonymize(TABLE, domain_prefix=5, key_manager=keys)  # type: ignore[call-overload]


def shared(other: KeyManager) -> KeyManager:
    """Return a manager with the same key and the rules alone."""
    made = KeyManager(store=MemoryStore(), columns=COLUMNS)
    made.import_key("master_key", other.get_encryption_key())
    return made


def test_arguments_override_the_rules() -> None:
    hidden = anonymize(
        TABLE,
        sensitive_columns=["Work_Email", "total"],
        domains={"Work_Email": "other"},
        strategy={"total": "hash"},
        options={"Work_Email": {"prefix": "x-"}},
        key_manager=manager(),
    )
    entries = hidden.attrs["secureml"]["columns"]
    assert set(entries) == {"Work_Email", "total"}
    assert entries["Work_Email"]["strategy"] == "token"
    assert entries["Work_Email"]["domain"] == "other"
    assert hidden["Work_Email"].str.startswith("x-").all()
    assert entries["total"]["strategy"] == "hash"


def test_a_column_that_is_named_is_not_kept() -> None:
    table = TABLE.assign(total=[12345678, 87654321])
    hidden = anonymize(table, sensitive_columns=["total"], key_manager=manager())
    assert hidden.attrs["secureml"]["columns"]["total"]["strategy"] == "fpe"
    assert not (hidden["total"] == table["total"]).any()


def test_strict_columns_lets_no_new_column_slip_out() -> None:
    keys = manager(strict_columns=True)
    anonymize(TABLE, key_manager=keys)
    more = TABLE.assign(diagnosis=["a", "b"], note=1)
    with pytest.raises(PseudonymizationError, match="no rule names 'diagnosis', 'note'"):
        anonymize(more, key_manager=keys)
    with pytest.raises(PseudonymizationError, match="no rule names 'note'"):
        anonymize(
            more,
            sensitive_columns=["ssn", "diagnosis"],
            small_domain="token",
            key_manager=keys,
        )
    with pytest.raises(PseudonymizationError, match="no rule names 3"):
        anonymize(TABLE.rename(columns={"total": 3}), key_manager=keys)


def test_no_rule_for_any_column_is_an_error() -> None:
    with pytest.raises(PseudonymizationError, match="there are no rules"):
        anonymize(TABLE, key_manager=manager(columns={}))
    with pytest.raises(PseudonymizationError, match="no rule names a column of the table"):
        anonymize(TABLE[["total"]], key_manager=manager())


def test_an_index_that_a_rule_names_is_an_error() -> None:
    indexed = TABLE.set_index("ssn")
    with pytest.raises(PseudonymizationError, match="index of the table is named 'ssn'"):
        anonymize(indexed, key_manager=manager())
    hidden = anonymize(indexed, sensitive_columns=["Work_Email"], key_manager=manager())
    assert hidden.index.tolist() == indexed.index.tolist()
    anonymize(TABLE.set_index("total"), key_manager=manager())


def test_a_rule_that_does_not_fit_the_column_says_so() -> None:
    keys = manager(columns={"ssn": {"strategy": "fpe", "format": "ssn:x"}})
    with pytest.raises(PseudonymizationError, match="'ssn:x' is to be written 'ssn'"):
        anonymize(TABLE, key_manager=keys)
    keys = manager(columns={"ssn": {"strategy": "mask", "prefix": "x"}})
    with pytest.raises(PseudonymizationError, match="'mask' has no option 'prefix'"):
        anonymize(TABLE, key_manager=keys)
