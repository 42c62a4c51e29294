"""What all engines share: rules by name, for arrays of values."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.frames import KEYS
from helpers.functions import (
    COLUMNS,
    REVERSIBLE,
    RULES,
    default_manager_of_rules,
    manager_of_rules,
    rotate,
    store_of,
)
from secureml import anonymize, reidentify
from secureml.engines.functions import Functions, Values, make_functions
from secureml.errors import (
    ArgumentError,
    DomainTooSmallError,
    InvalidValueError,
    ManifestChangedError,
    ManifestError,
    PseudonymizationError,
    SecretNotFoundError,
    WrongKeyError,
)

SSNS = pa.array(["123-45-6789", None, "219-09-9999"])


def functions(**arguments: Any) -> Functions:
    """Return functions of a manager with the rules and one version of the key."""
    return make_functions(**{"key_manager": manager_of_rules(), **arguments})


@pytest.mark.parametrize("name", COLUMNS)
def test_pseudonyms_are_those_that_anonymize_makes_of_a_column_of_the_rules_name(name: str) -> None:
    rule, array = COLUMNS[name]
    manager = manager_of_rules()
    table = anonymize(pa.table({rule: array}), sensitive_columns=[rule], key_manager=manager)
    made = functions(key_manager=manager).protect(array, rule)
    assert made.type == array.type
    assert made.equals(table[rule].combine_chunks())
    assert rule == "gone" or made.null_count == array.null_count


@pytest.mark.parametrize("name", REVERSIBLE)
def test_values_are_recovered(name: str) -> None:
    rule, array = COLUMNS[name]
    known = functions()
    assert known.recover(known.protect(array, rule), rule).equals(array)


@given(st.lists(st.one_of(st.none(), st.text(max_size=40))))
def test_any_text_is_recovered(values: list[str | None]) -> None:
    array = pa.array(values, pa.string())
    known = functions()
    for rule in ("name", "email"):
        assert known.recover(known.protect(array, rule), rule).equals(array)


@given(st.lists(st.one_of(st.none(), st.integers(10**6, 2**31 - 1)), max_size=50), st.data())
def test_pseudonyms_do_not_depend_on_the_chunks(values: list[int | None], data: Any) -> None:
    array, known = pa.array(values, pa.int64()), functions()
    at = data.draw(st.integers(0, len(values)))
    parts = [known.protect(part, "number") for part in (array[:at], array[at:])]
    assert pa.concat_arrays(parts).equals(known.protect(array, "number"))


@pytest.mark.parametrize("arrow_type", [pa.string(), pa.int32(), pa.large_string(), pa.binary()])
def test_an_empty_chunk_stays_as_it_is(arrow_type: pa.DataType) -> None:
    empty = pa.chunked_array([], arrow_type)
    made = functions()(Values(empty, pa.chunked_array([], pa.string()), recover=False))
    assert made.type == arrow_type
    assert len(made) == 0


def test_the_rule_may_be_an_array_of_one_name() -> None:
    known = functions()
    named = Values(SSNS, pa.array(["ssn"] * 3), recover=False)
    assert known(named).equals(known.protect(SSNS, "ssn"))


@pytest.mark.parametrize("names", [["ssn", "name", "ssn"], [None] * 3, ["ssn", None, "ssn"]])
def test_a_rule_that_is_no_constant_is_refused(names: list[str | None]) -> None:
    with pytest.raises(ArgumentError, match="must be one constant"):
        functions()(Values(SSNS, pa.array(names, pa.string()), recover=False))


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        ("sssn", "did you mean 'ssn'"),
        ("SSN", "did you mean 'ssn'"),
        ("nothing like it", "There are: 'ssn', 'name'"),
        ("work_mail", r"did you mean '\*_mail'"),
        ("*_id", "is a pattern"),
        ("total", "lets values stay"),
    ],
)
def test_a_name_that_is_no_rule_for_values_is_refused(rule: str, hint: str) -> None:
    for recover in (False, True):
        with pytest.raises(ArgumentError, match=hint):
            functions()(Values(SSNS, rule, recover))


def test_what_is_no_rule_is_not_shown_as_it_may_be_a_value() -> None:
    with pytest.raises(ArgumentError) as caught:
        functions().protect(pa.array(["ssn"]), "123-45-6789")
    assert "6789" not in str(caught.value)


def test_a_pattern_with_a_domain_has_the_pseudonyms_of_the_domain() -> None:
    known = functions()
    assert known.protect(SSNS, "*_mail").equals(known.protect(SSNS, "email"))


def test_a_rule_with_a_tweak_is_refused() -> None:
    with pytest.raises(PseudonymizationError, match="tweaks lie in another column"):
        functions().protect(SSNS, "visit")


@pytest.mark.parametrize("rule", ["hashed", "masked", "gone"])
def test_what_can_not_be_reversed_is_not_recovered(rule: str) -> None:
    with pytest.raises(PseudonymizationError, match="can't be reversed"):
        functions().recover(SSNS, rule)


@pytest.mark.parametrize("rule", ["email", "name", "hashed"])
def test_text_in_place_of_numbers_is_refused(rule: str) -> None:
    with pytest.raises(PseudonymizationError, match="cast the values to text first"):
        functions().protect(pa.array([1234567]), rule)


def test_values_that_are_not_of_the_format_are_refused_without_showing_them() -> None:
    with pytest.raises(InvalidValueError, match="in a chunk of 2 rows: column 'ssn'") as caught:
        functions().protect(pa.array(["123-45-6789", "Smith"]), "ssn")
    assert "Smith" not in str(caught.value)


def test_values_with_too_few_pseudonyms_are_refused_or_removed() -> None:
    few = pa.array([12, 1234567])
    with pytest.raises(DomainTooSmallError):
        functions().protect(few, "number")
    assert functions().protect(few, "removed").is_null().to_pylist() == [True, False]


def test_what_can_be_no_pseudonym_is_refused() -> None:
    with pytest.raises(PseudonymizationError, match="column 'email'"):
        functions().recover(pa.array(["e_nothing"]), "email")


def test_a_profile_stands_over_the_rules() -> None:
    manager = manager_of_rules()
    press = functions(key_manager=manager, profile="press")
    assert press.recover(press.protect(SSNS, "hashed"), "hashed").equals(SSNS)
    table = pa.table({"ssn": SSNS})
    hidden = anonymize(table, sensitive_columns=["ssn"], profile="press", key_manager=manager)
    assert press.protect(SSNS, "ssn").equals(hidden["ssn"].combine_chunks())


def test_a_rotation_meanwhile_changes_nothing() -> None:
    store = store_of()
    known = functions(key_manager=manager_of_rules(store))
    before = known.protect(SSNS, "ssn")
    rotate(store)
    assert known.protect(SSNS, "ssn").equals(before)
    assert (known.key.name, known.key.version) == ("master_key", 1)
    assert functions(key_manager=manager_of_rules(store)).key.version == 2


def test_nothing_is_recovered_if_nobody_tells_which_version_pseudonyms_are_of() -> None:
    store = store_of()
    hidden = functions(key_manager=manager_of_rules(store)).protect(SSNS, "ssn")
    rotate(store)
    manager = manager_of_rules(store)
    with pytest.raises(ManifestError, match="master_key_version"):
        functions(key_manager=manager).recover(hidden, "ssn")
    first = functions(key_manager=manager, master_key_version=1)
    assert first.recover(hidden, "ssn").equals(SSNS)


@pytest.mark.parametrize("write", [dict, json.dumps])
def test_the_manifest_leads_to_the_version_and_the_rules_that_were(write: Any) -> None:
    store = store_of()
    known = functions(key_manager=manager_of_rules(store))
    hidden, manifest = known.protect(SSNS, "ssn"), write(known.manifest)
    rotate(store)
    changed = manager_of_rules(store, columns={"ssn": {"strategy": "token"}})
    later = functions(key_manager=changed, manifest=manifest)
    assert later.key == known.key
    assert later.recover(hidden, "ssn").equals(SSNS)
    assert later.protect(SSNS, "ssn").equals(hidden)


def test_the_manifest_lists_the_rules_whose_values_a_function_recovers() -> None:
    known = functions()
    assert set(known.manifest["columns"]) == {
        *{rule for rule, _ in map(COLUMNS.get, REVERSIBLE)},
        *("removed", "*_mail"),
    }
    again = functions(manifest=known.manifest).manifest
    assert again["columns"] == known.manifest["columns"]


@pytest.mark.parametrize("name", REVERSIBLE)
def test_the_manifest_serves_values_of_every_kind(name: str) -> None:
    rule, array = COLUMNS[name]
    known = functions()
    hidden = known.protect(array, rule)
    later = functions(
        key_manager=manager_of_rules(columns={}, profiles={}), manifest=known.manifest
    )
    assert later.recover(hidden, rule).equals(array)


def test_the_manifest_of_a_table_serves_too() -> None:
    manager = manager_of_rules()
    table = pa.table({"id": SSNS})
    hidden = anonymize(table, sensitive_columns=["id"], formats={"id": "ssn"}, key_manager=manager)
    known = functions(manifest=json.loads(hidden.schema.metadata[b"secureml"]), key_manager=manager)
    assert known.recover(hidden["id"], "id").equals(SSNS)


def test_a_table_of_functions_is_recovered_by_reidentify() -> None:
    manager = manager_of_rules()
    known = functions(key_manager=manager)
    columns = {
        rule: COLUMNS[name][1] for name, rule in (("text with tokens", "name"), ("tokens", "email"))
    }
    hidden = pa.table({rule: known.protect(array, rule) for rule, array in columns.items()})
    with pytest.warns(UserWarning, match="missing|not checked"):
        recovered = reidentify(hidden, known.manifest, key_manager=manager)
    assert recovered.to_pydict() == pa.table(columns).to_pydict()


def test_a_column_with_versions_of_its_rows_is_left_to_reidentify() -> None:
    manager = manager_of_rules()
    table = pa.table({"ssn": SSNS})
    hidden, manifest = anonymize(
        table,
        sensitive_columns=["ssn"],
        key_versions=True,
        key_manager=manager,
        return_manifest=True,
    )
    with pytest.raises(PseudonymizationError, match="versions lie in another column"):
        functions(manifest=manifest, key_manager=manager).recover(hidden["ssn"], "ssn")


def test_another_key_is_refused_before_any_value() -> None:
    manifest = functions().manifest
    with pytest.raises(WrongKeyError):
        functions(key_manager=manager_of_rules(store_of(KEYS[1:])), manifest=manifest)


def test_a_manifest_that_was_changed_is_refused() -> None:
    manifest = functions().manifest
    manifest["columns"]["ssn"]["format"] = "class/1"
    with pytest.raises(ManifestChangedError):
        functions(manifest=manifest)


def test_a_manifest_tells_the_key_alone() -> None:
    with pytest.raises(ArgumentError, match="leave master_key_name"):
        functions(manifest=functions().manifest, master_key_version=1)


def test_the_functions_travel_without_the_key_and_fetch_it_with_the_login_of_the_process() -> None:
    store = store_of()
    known = functions(key_manager=manager_of_rules(store))
    pickled = pickle.dumps(known)
    values = Values(SSNS, "ssn", recover=False)
    with pytest.raises(SecretNotFoundError):
        default_manager_of_rules(store_of([])) and pickle.loads(pickled)(values)
    rotate(store)
    default_manager_of_rules(store, columns={}, profiles={})
    assert pickle.loads(pickled)(values).equals(known.protect(SSNS, "ssn"))


def test_a_process_with_another_key_of_that_name_gives_nothing() -> None:
    pickled = pickle.dumps(functions())
    default_manager_of_rules(store_of(KEYS[2:]))
    with pytest.raises(WrongKeyError):
        pickle.loads(pickled)(Values(SSNS, "ssn", recover=False))


def test_the_functions_show_key_and_rules_in_few_words() -> None:
    assert repr(functions()) == (
        f"<functions of {len(RULES)} rules, under key 'master_key' version 1 of environment"
        " 'development'>"
    )


def test_settings_without_rules_are_told() -> None:
    with pytest.raises(ArgumentError, match="There are: none"):
        functions(key_manager=manager_of_rules(columns={}, profiles={})).protect(SSNS, "ssn")


def test_a_wrong_argument_is_told() -> None:
    with pytest.raises(ArgumentError, match="master_key_version must be a number"):
        functions(master_key_version="1")
    with pytest.raises(ArgumentError, match="key_manager must be a KeyManager"):
        functions(key_manager=SSNS)
    with pytest.raises(ArgumentError, match="did you mean 'press'"):
        functions(profile="pres")
