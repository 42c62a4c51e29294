"""Wrong arguments of the functions on tables: each is refused in words that say what to write."""

from __future__ import annotations

import inspect
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from secureml import KeyManager, anonymize, merge_manifests, reidentify, rekey
from secureml.anonymization.arguments import Arguments, by_column, check_columns, listed
from secureml.errors import ArgumentError, PseudonymizationError, SecretError, SecureMLError


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyManager]:
    monkeypatch.setenv("SECUREML_MASTER_KEY", "ab" * 32)
    with KeyManager(environment="development") as manager:
        yield manager


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"ssn": ["219-09-9999", "123-45-6789"], "n": [1_000_000, 2_000_000]})


@pytest.fixture
def hidden(frame: pd.DataFrame, manager: KeyManager) -> pd.DataFrame:
    return anonymize(frame, sensitive_columns=["ssn"], key_manager=manager)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"method": ["ssn"]}, "write anonymize(data, sensitive_columns=['ssn'])"),
        ({"method": pd.Index(["ssn"])}, "write anonymize(data, sensitive_columns=['ssn'])"),
        ({"formats": "class"}, "write {'ssn': 'class'}"),
        ({"formats": ["class"]}, "write {'ssn': '...'}"),
        ({"formats": {"ssn": "clas"}}, "did you mean 'class'"),
        ({"domains": "person"}, "write {'ssn': 'person'}"),
        ({"tweaks": "n"}, "write {'ssn': 'n'}"),
        ({"options": {"keep_first": 4}}, "options names 'keep_first'"),
        ({"options": "keep"}, "options must be a mapping by column"),
        ({"options": {"ssn": {1: 2}}}, "options['ssn'] must be a mapping of names"),
        ({"strategy": ["fpe"]}, "strategy must be a name, a function, or a mapping"),
        ({"strategy": "custom"}, "strategy='custom' is not known"),
        ({"preview": True}, "write preview=5"),
        ({"preview": -1}, "write preview=5"),
        ({"preview": "5"}, "write preview=5"),
        ({"sensitive_columns": "ssn"}, "write ['ssn']"),
        ({"sensitive_columns": []}, "sensitive_columns is empty"),
        (
            {"small_domain": ["token"]},
            "small_domain must be one of 'error', 'token', 'null', 'permute', not list",
        ),
        ({"normalize": "NFD"}, "allowed: 'NFC'"),
        ({"profile": ["a"]}, "profile must be a name"),
        ({"master_key_name": b"k"}, "master_key_name must be a name, not bytes"),
        ({"master_key_version": "1"}, "master_key_version must be a number, not str"),
        ({"master_key_version": True}, "master_key_version must be a number, not bool"),
        ({"key_manager": "vault"}, "key_manager must be a KeyManager, not str"),
    ],
    ids=str,
)
def test_anonymize_says_what_to_write(frame, manager, arguments, told):
    wanted = {"sensitive_columns": ["ssn"], "key_manager": manager} | arguments
    with pytest.raises(ArgumentError) as caught:
        anonymize(frame, **wanted)
    assert told in str(caught.value)
    assert caught.value.argument in arguments


@pytest.mark.parametrize("function", [reidentify, rekey])
def test_a_path_is_no_manifest(hidden, manager, function):
    with pytest.raises(ArgumentError, match=r"secureml\.files\.manifest_of\(path\) reads one"):
        function(hidden, manifest=Path("hidden.csv.manifest.json"), key_manager=manager)


def test_a_table_is_no_manifest(hidden, manager):
    with pytest.raises(ArgumentError, match=r"write \.attrs\['secureml'\]"):
        reidentify(hidden, hidden, key_manager=manager)
    with pytest.raises(ArgumentError, match=r"write \.attrs\['secureml'\]"):
        merge_manifests([hidden, hidden], key_manager=manager)


@pytest.mark.parametrize("given", ["{}", 5, None], ids=str)
def test_merge_manifests_refuses_one_manifest_in_place_of_a_list(manager, given):
    with pytest.raises(ArgumentError, match="manifests must be a list"):
        merge_manifests(given, key_manager=manager)
    with pytest.raises(ArgumentError, match="manifests must be a list"):
        merge_manifests({"schema": 3}, key_manager=manager)


def test_an_argument_error_can_be_sent_to_another_process():
    error = pickle.loads(pickle.dumps(ArgumentError.of("formats", "is none", "['a']")))
    assert error.message == "formats['a'] is none"
    assert error.argument == "formats"


WRONG = [
    *(None, True, False, -1, 0, 1 << 70, 1.5, float("nan"), 1j, "", "x", "\x1b[2J", "\ud800"),
    *(b"x", [], ["x"], [[]], (), {}, {"ssn": 5}, {"ssn": {}}, {5: "x"}, {"ssn": "\x00"}, {"x"}),
    *(object(), int, len, Path("x"), pd.Series(["x"]), pd.DataFrame({"x": [1]}), range(3)),
]


@pytest.mark.parametrize("function", [anonymize, reidentify, rekey, merge_manifests])
def test_no_argument_of_a_wrong_kind_ends_in_an_error_that_is_not_ours(
    frame, hidden, manager, function
):
    parameters = list(inspect.signature(function).parameters)
    if "arguments" in parameters:
        parameters = [*parameters[:-1], *Arguments.__annotations__]
    sound = {"data": frame if function is anonymize else hidden, "key_manager": manager}
    sound["manifests"] = [hidden.attrs["secureml"]]
    sound = {name: value for name, value in sound.items() if name in parameters}
    if function is anonymize:
        sound["sensitive_columns"] = ["ssn"]
    foreign = []
    warnings.simplefilter("ignore")
    for name in parameters:
        for value in WRONG:
            if name == "strategy" and value is int:
                continue  # a function of the caller's own, which raises what it likes
            try:
                function(**sound | {name: value})
            except SecureMLError:
                continue
            except TypeError as error:
                if name == "data" and "must be a table" in str(error):
                    continue
                foreign.append((name, value, repr(error)))
            except Exception as error:
                foreign.append((name, value, repr(error)))
    assert foreign == []


def test_the_kinds_of_error_are_those_that_callers_catch():
    assert issubclass(ArgumentError, PseudonymizationError)
    assert issubclass(ArgumentError, ValueError)
    assert not issubclass(ArgumentError, SecretError)


def test_sensitive_columns_are_a_list_that_is_not_empty() -> None:
    assert listed(("a", "b")) == ["a", "b"]
    assert listed(pd.Index(["a"])) == ["a"]
    with pytest.raises(PseudonymizationError, match=r"must be a list: write \['ssn'\]"):
        listed("ssn")
    for nothing in (None, 5):
        with pytest.raises(PseudonymizationError, match="must list"):
            listed(nothing)
    with pytest.raises(PseudonymizationError, match="is empty"):
        listed([])


def test_an_argument_by_column_names_sensitive_columns_alone() -> None:
    assert by_column("domains", None, ["a"]) == {}
    assert by_column("domains", {"a": "x"}, ["a"]) == {"a": "x"}
    with pytest.raises(PseudonymizationError, match="domains names 'b'"):
        by_column("domains", {"b": "x"}, ["a"])
    for wrong in ("", None, 7):
        with pytest.raises(PseudonymizationError, match=r"domains\['a'\] must be a string"):
            by_column("domains", {"a": wrong}, ["a"])  # type: ignore[dict-item]  # on purpose


def test_columns_are_named_by_text_and_a_near_name_is_proposed() -> None:
    frame = pd.DataFrame({"name": [1], "ssn": [2], 7: [3]})
    assert check_columns(frame, ["ssn", "name", "ssn"]) == ["ssn", "name"]
    with pytest.raises(PseudonymizationError, match="no column 'nmae'; did you mean 'name'"):
        check_columns(frame, ["nmae"])
    with pytest.raises(PseudonymizationError, match="no column 'zzz'; there are 'name', 'ssn', 7"):
        check_columns(frame, ["zzz"])
    with pytest.raises(PseudonymizationError, match="7 is not a string: rename"):
        check_columns(frame, [7])
    wide = pd.DataFrame(columns=[f"c{number}" for number in range(100)])
    with pytest.raises(PseudonymizationError, match="and 92 more"):
        check_columns(wide, ["zzz"])
