"""anonymize, with keys from the in-memory store: what becomes of tables, and what is refused."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.people import SENSITIVE, SSNS, same
from secureml import anonymize, reidentify, rekey
from secureml.anonymization import problems, tweaks
from secureml.ciphers.ff1 import FF1
from secureml.errors import (
    DomainTooSmallError,
    InvalidValueError,
    KeyMaterialError,
    ManifestError,
    PseudonymizationError,
    SecretNotFoundError,
)
from secureml.key_management import KeyManager, configure_default_key_manager
from secureml.pseudonymization.ranking import pipeline
from secureml.scanning import scan
from secureml.stores import MemoryStore


class TestAnonymize:
    def test_values_change_and_everything_else_stays(
        self, manager: KeyManager, people: pd.DataFrame
    ) -> None:
        before = people.copy(deep=True)
        result = anonymize(people, sensitive_columns=SENSITIVE, key_manager=manager)
        same(people, before)
        pd.testing.assert_index_equal(result.index, people.index)
        assert result.dtypes.equals(people.dtypes)
        pd.testing.assert_series_equal(result["age"], people["age"])
        assert result["ssn"].isna().tolist() == people["ssn"].isna().tolist()
        assert result["ssn"].iloc[4] == ""
        assert not set(result["ssn"].iloc[:3]) & set(SSNS)
        assert result["ssn"].iloc[:3].str.fullmatch(r"\d{3}-\d\d-\d{4}").all()
        assert result["name"].iloc[1][4] == "-"
        assert (result["id"] < 0).tolist() == (people["id"] < 0).tolist()
        assert result["id"].astype(str).str.len().equals(people["id"].astype(str).str.len())
        assert result["id"].iloc[0] == result["id"].iloc[4]
        same(reidentify(result, key_manager=manager), people)

    def test_positional_arguments_of_the_contract(
        self, manager: KeyManager, people: pd.DataFrame
    ) -> None:
        result = anonymize(people, "pseudonymization", "fpe", ["ssn"], key_manager=manager)
        same(reidentify(result, key_manager=manager), people)

    def test_an_ssn_is_plain_ff1_under_the_derived_key(
        self, manager: KeyManager, people: pd.DataFrame
    ) -> None:
        result = anonymize(people, sensitive_columns=["ssn"], key_manager=manager)
        key = manager.derive_own_key(manager.get_key(), "pseudonymization/fpe/ssn", 32)
        symbols = [0x110000 if c.isdigit() else ord(c) for c in "000-00-0000"]
        tweak = b"class/1" + b"".join(symbol.to_bytes(4, "big") for symbol in symbols)
        for value, pseudonym in zip(SSNS, result["ssn"], strict=False):
            digits = [int(c) for c in value if c.isdigit()]
            expected = "".join(map(str, FF1(key, 10).encrypt(digits, tweak)))
            assert pseudonym.replace("-", "") == expected

    def test_tables_can_be_joined_on_a_domain(self, manager: KeyManager) -> None:
        left = pd.DataFrame({"ssn": SSNS, "x": [1, 2, 3]})
        right = pd.DataFrame({"ssn": SSNS[::-1], "tax_id": SSNS, "y": [3, 2, 1]})
        one = anonymize(left, sensitive_columns=["ssn"], key_manager=manager)
        two = anonymize(
            right,
            sensitive_columns=["ssn", "tax_id"],
            domains={"tax_id": "other"},
            key_manager=manager,
        )
        joined = one.merge(two, on="ssn")
        assert (joined["x"] == joined["y"]).all()
        assert len(joined) == 3
        assert not set(two["tax_id"]) & set(two["ssn"])
        named = anonymize(
            right, sensitive_columns=["tax_id"], domains={"tax_id": "ssn"}, key_manager=manager
        )
        assert set(named["tax_id"]) == set(one["ssn"])

    def test_the_key_is_fetched_once(self, manager: KeyManager, people: pd.DataFrame) -> None:
        asked: list[tuple[Any, ...]] = []
        fetch = manager.get_key

        def counting(*arguments: Any, **named: Any) -> Any:
            asked.append(arguments)
            return fetch(*arguments, **named)

        manager.get_key = counting  # type: ignore[method-assign]  # the real one still answers
        result = anonymize(people, sensitive_columns=SENSITIVE, key_manager=manager)
        assert len(asked) == 1
        reidentify(result, key_manager=manager)
        assert len(asked) == 2

    def test_another_master_key(self, manager: KeyManager, people: pd.DataFrame) -> None:
        usual = anonymize(people, sensitive_columns=["ssn"], key_manager=manager)
        other = anonymize(
            people, sensitive_columns=["ssn"], master_key_name="other_key", key_manager=manager
        )
        assert other.attrs["secureml"]["key"]["name"] == "other_key"
        assert not set(usual["ssn"].iloc[:3]) & set(other["ssn"].iloc[:3])
        same(reidentify(other, key_manager=manager), people)

    def test_the_default_manager(self, people: pd.DataFrame) -> None:
        configure_default_key_manager(environment="development", store=MemoryStore()).generate_key(
            "master_key"
        )
        same(reidentify(anonymize(people, sensitive_columns=["ssn"])), people)

    def test_the_manifest_counts(self, manager: KeyManager, people: pd.DataFrame) -> None:
        people["code"] = ["AB", "~tilde", None, "", "ABCDEF"]
        people["kind"] = pd.Categorical(["A", None, "A", "Longer-Name", ""])
        result = anonymize(
            people, sensitive_columns=["code", "kind"], small_domain="token", key_manager=manager
        )
        document = result.attrs["secureml"]
        assert json.loads(json.dumps(document)) == document
        counts = {
            name: [column[field] for field in ("rows", "nulls", "empty", "tokens", "nulled")]
            for name, column in document["columns"].items()
        }
        assert counts == {"code": [5, 1, 1, 2, 0], "kind": [5, 1, 1, 2, 0]}
        removed = anonymize(
            people, sensitive_columns=["code", "kind"], small_domain="null", key_manager=manager
        )
        columns = removed.attrs["secureml"]["columns"]
        assert [columns[name]["nulled"] for name in ("code", "kind")] == [1, 2]
        assert document["key"]["version"] == 1
        assert document["key"]["environment"] == "development"
        text = json.dumps(document)
        assert manager.get_key().reveal().hex() not in text
        assert "AB" not in text

    @pytest.mark.parametrize("policy", ["error", "token", "null"])
    def test_an_empty_frame(self, manager: KeyManager, policy: str) -> None:
        frame = pd.DataFrame({"a": pd.Series([], dtype="str"), "b": pd.Series([], dtype="int64")})
        result = anonymize(
            frame, sensitive_columns=["a", "b"], small_domain=policy, key_manager=manager
        )
        assert len(result) == 0
        pd.testing.assert_frame_equal(reidentify(result, key_manager=manager), frame)

    def test_columns_of_nothing_but_nulls(self, manager: KeyManager) -> None:
        frame = pd.DataFrame({"a": np.array([None, None], dtype=object), "b": [np.nan, np.nan]})
        result = anonymize(frame, sensitive_columns=["a", "b"], key_manager=manager)
        assert result.isna().all(axis=None)
        pd.testing.assert_frame_equal(reidentify(result, key_manager=manager), frame)

    @pytest.mark.parametrize(
        "index",
        [
            pd.MultiIndex.from_product([[1, 2], ["a"]], names=["n", "s"]),
            pd.Index(["same", "same"]),
            pd.date_range("2020-01-01", periods=2, tz="UTC"),
        ],
        ids=["levels", "duplicates", "times"],
    )
    def test_any_index(self, manager: KeyManager, index: pd.Index) -> None:
        frame = pd.DataFrame({"a": ["value one", "value two"], "b": [1234567, 7654321]}, index)
        result = anonymize(frame, sensitive_columns=["a", "b"], key_manager=manager)
        pd.testing.assert_index_equal(result.index, index)
        same(reidentify(result, key_manager=manager), frame)

    def test_more_columns_later(self, manager: KeyManager, people: pd.DataFrame) -> None:
        first = anonymize(people, sensitive_columns=["ssn"], key_manager=manager)
        both = anonymize(first, sensitive_columns=["name"], key_manager=manager)
        assert list(both.attrs["secureml"]["columns"]) == ["ssn", "name"]
        assert list(first.attrs["secureml"]["columns"]) == ["ssn"]
        same(reidentify(both, key_manager=manager), people)

    def test_a_column_twice(self, manager: KeyManager, people: pd.DataFrame) -> None:
        once = anonymize(people, sensitive_columns=["ssn"], key_manager=manager)
        with pytest.raises(PseudonymizationError, match="already pseudonymized: 'ssn'"):
            anonymize(once, sensitive_columns=["ssn", "name"], key_manager=manager)

    def test_more_columns_under_another_key(
        self, manager: KeyManager, people: pd.DataFrame
    ) -> None:
        first = anonymize(people, sensitive_columns=["ssn"], key_manager=manager)
        with pytest.raises(ManifestError, match="a table has one key"):
            anonymize(
                first, sensitive_columns=["name"], master_key_name="other_key", key_manager=manager
            )
        manager.rotate_key("master_key")
        with pytest.raises(ManifestError, match=r"version 1.*version 2"):
            anonymize(first, sensitive_columns=["name"], key_manager=manager)

    def test_more_columns_beside_a_changed_manifest(
        self, manager: KeyManager, people: pd.DataFrame
    ) -> None:
        changed = anonymize(people, sensitive_columns=["ssn"], key_manager=manager)
        changed.attrs["secureml"]["columns"]["ssn"]["rows"] = 7
        with pytest.raises(ManifestError, match="MAC does not fit"):
            anonymize(changed, sensitive_columns=["name"], key_manager=manager)
        changed.attrs["secureml"] = "nonsense"
        with pytest.raises(ManifestError, match="not JSON"):
            anonymize(changed, sensitive_columns=["name"], key_manager=manager)


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            ({"sensitive_columns": None}, "there are no rules"),
            ({"sensitive_columns": []}, "is empty"),
            ({"sensitive_columns": "ssn"}, "must be a list"),
            ({"sensitive_columns": ["snn"]}, "did you mean 'ssn'"),
            ({"sensitive_columns": [7]}, "not a string"),
            ({"method": "pseudonymisation"}, "did you mean 'pseudonymization'"),
            ({"method": "k-anonymity"}, "method='k-anonymity' is not known"),
            ({"strategy": "fep"}, "did you mean 'fpe'"),
            ({"small_domain": "tokens"}, "did you mean 'token'"),
            ({"domains": {"name": "x"}}, "domains names 'name'"),
            ({"domains": {"ssn": ""}}, "must be a string and not empty"),
            ({"formats": {"ssn": "clas"}}, "did you mean 'class'"),
            (
                {"sensitive_columns": ["id"], "formats": {"id": "class"}},
                "column 'id': the format 'class/1' is not for values of its dtype",
            ),
        ],
    )
    def test_arguments(
        self, manager: KeyManager, people: pd.DataFrame, arguments: dict[str, Any], match: str
    ) -> None:
        with pytest.raises(PseudonymizationError, match=match):
            anonymize(people, **{"sensitive_columns": ["ssn"], "key_manager": manager, **arguments})

    def test_formats_that_fit(self, manager: KeyManager, people: pd.DataFrame) -> None:
        formats = {"ssn": "class", "id": "integer"}
        anonymize(people, sensitive_columns=["ssn", "id"], formats=formats, key_manager=manager)

    @pytest.mark.parametrize("call", [anonymize, reidentify, rekey])
    def test_other_data(self, call: Callable[..., Any], manager: KeyManager) -> None:
        with pytest.raises(TypeError, match="pandas DataFrame, not dict"):
            call({"ssn": tuple(SSNS)}, key_manager=manager)

    @pytest.mark.parametrize("call", [anonymize, reidentify, rekey])
    def test_column_names_that_occur_twice(
        self, call: Callable[..., Any], manager: KeyManager
    ) -> None:
        frame = pd.DataFrame([["a", "b"]], columns=["x", "x"])
        with pytest.raises(PseudonymizationError, match="more than once: 'x'"):
            call(frame, key_manager=manager)

    def test_several_levels_of_column_names(self, manager: KeyManager) -> None:
        with pytest.raises(PseudonymizationError, match="MultiIndex"):
            anonymize(
                pd.DataFrame({("a", "b"): ["x"]}), sensitive_columns=["a"], key_manager=manager
            )

    @pytest.mark.parametrize(
        ("values", "match"),
        [
            ([b"bytes", "x"], r"column 'x': it holds values that are not strings \(1 bytes\)"),
            ([1, "x"], r"column 'x': it holds values that are not strings \(1 int\)"),
            (pd.to_timedelta(["1 day", None]), "column 'x': its dtype is timedelta64"),
            ([True, False], "column 'x': its dtype is bool"),
            ([0.5, np.nan], "column 'x': of its float64 values, 1 are not whole"),
            (pd.Categorical([1, 2]), "column 'x': its categories are of dtype int64"),
        ],
    )
    def test_values(self, manager: KeyManager, values: Any, match: str) -> None:
        with pytest.raises(PseudonymizationError, match=match) as caught:
            anonymize(pd.DataFrame({"x": values}), sensitive_columns=["x"], key_manager=manager)
        assert caught.value.__context__ is None

    def test_no_key(self, people: pd.DataFrame) -> None:
        empty = KeyManager(environment="development", store=MemoryStore())
        with pytest.raises(SecretNotFoundError):
            anonymize(people, sensitive_columns=["ssn"], key_manager=empty)

    def test_a_key_of_another_length(self, manager: KeyManager, people: pd.DataFrame) -> None:
        manager.generate_key("short", key_bytes=16)
        with pytest.raises(KeyMaterialError):
            anonymize(
                people, sensitive_columns=["ssn"], master_key_name="short", key_manager=manager
            )

    def test_small_domains(self, manager: KeyManager) -> None:
        frame = pd.DataFrame(
            {
                "name": ["Bo", "Al", "Somebody", None, ""],
                "kind": pd.Categorical(["M", "F", "F", None, "Something"]),
                "id": [1234567, 12, 123, 1234, 12345],
                "fine": ["Some", "Body"] * 2 + ["Else"],
            }
        )
        frame["fine"] += " Surname"
        columns = list(frame.columns)
        with pytest.raises(DomainTooSmallError) as caught:
            anonymize(frame, sensitive_columns=columns, key_manager=manager)
        error = caught.value
        assert (error.column, error.domain_size, error.rows) == ("kind", 26, 3)
        assert "column 'name': 2 rows, with as few as 676" in str(error)
        assert "column 'id': 4 rows, with as few as 90" in str(error)
        assert "'fine'" not in str(error)
        assert "small_domain='token'" in str(error)
        shown = "".join(traceback.format_exception(error))
        assert "Bo" not in shown.replace("Body", "")

    @pytest.mark.parametrize(
        "indexed",
        [
            lambda frame: frame.set_index("ssn", drop=False),
            lambda frame: frame.set_index(["age", "ssn"], drop=False),
            lambda frame: frame.rename_axis(columns="ssn"),
        ],
    )
    def test_an_index_named_as_a_sensitive_column(
        self,
        manager: KeyManager,
        people: pd.DataFrame,
        indexed: Callable[[pd.DataFrame], pd.DataFrame],
    ) -> None:
        how = {"sensitive_columns": ["ssn"], "key_manager": manager}
        with pytest.raises(PseudonymizationError, match="index of the table is named 'ssn'"):
            anonymize(indexed(people), **how)
        with pytest.raises(PseudonymizationError, match="index of the table is named 'ssn'"):
            anonymize(indexed(people), preview=1, **how)
        hidden = anonymize(people, **how)
        with pytest.raises(PseudonymizationError, match="index of the table is named 'ssn'"):
            rekey(indexed(hidden), "other_key", key_manager=manager)
        back = reidentify(indexed(hidden), key_manager=manager)
        assert back["ssn"].tolist() == people["ssn"].tolist()


MOST = 1000
LONG = {
    "class": ("7" * MOST, "7a" * MOST),
    "digits": ("7-" * (MOST // 2), "7-" * MOST),
    "letters": ("a" * MOST, "aÉ" * MOST),
    "alphabet:ab": ("ab" * (MOST // 2), "ab" * MOST),
    "regex:x([a-z]*)": ("x" * MOST, "x" * MOST + "x"),
}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the bound, so that what is within it takes no time."""
    for module in (pipeline, problems, tweaks):
        assert module.MOST_CHARACTERS == 1 << 16
        monkeypatch.setattr(module, "MOST_CHARACTERS", MOST)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("written", LONG)
def test_a_value_that_is_too_long_is_refused_with_its_column_and_row(
    manager: KeyManager, written: str
) -> None:
    longest, long = LONG[written]
    frame = pd.DataFrame({"note": [None, longest, long]})
    how: Any = {
        "sensitive_columns": ["note"],
        "formats": {"note": written},
        "key_manager": manager,
    }
    said = r"column 'note': 1 row is .* the first of them row 3.*; 1 has more than 1,000 char"
    with pytest.raises(InvalidValueError, match=said):
        anonymize(frame, **how)
    hidden = anonymize(frame, **how, on_invalid="token")
    assert len(hidden["note"][1]) == MOST
    assert hidden["note"][2].startswith("~")
    pd.testing.assert_frame_equal(reidentify(hidden, key_manager=manager), frame)


@pytest.mark.parametrize("written", LONG)
def test_pseudonyms_above_the_bound_that_an_earlier_version_made_are_recovered(
    manager: KeyManager, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest, long = LONG[written]
    frame = pd.DataFrame({"note": [None, longest, long], "salt": ["a", "b", "c" * 2 * MOST]})
    how: Any = {"sensitive_columns": ["note"], "key_manager": manager}
    how |= {"formats": {"note": written}, "tweaks": {"note": "salt"}}
    hidden = anonymize(frame, **how)  # no bound, as then
    for module in (pipeline, problems, tweaks):
        monkeypatch.setattr(module, "MOST_CHARACTERS", MOST)
    with pytest.raises(PseudonymizationError, match="at most 1,000 characters"):
        anonymize(frame, **how)
    pd.testing.assert_frame_equal(reidentify(hidden, key_manager=manager), frame)


@pytest.mark.parametrize("strategy", ["token", "hash", "mask", "redact"])
def test_other_strategies_take_values_of_any_length(manager: KeyManager, strategy: str) -> None:
    frame = pd.DataFrame({"note": ["é" * (1 << 20)]})
    made = anonymize(frame, "pseudonymization", strategy, ["note"], key_manager=manager)
    if strategy == "token":
        pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), frame)


@pytest.mark.usefixtures("short")
def test_a_tweak_that_is_too_long_is_refused(manager: KeyManager) -> None:
    frame = pd.DataFrame({"ssn": SSNS, "salt": ["a", "b" * MOST, "c" * MOST + "c"]})
    with pytest.raises(PseudonymizationError, match="a tweak has at most 1,000 characters"):
        anonymize(frame, sensitive_columns=["ssn"], tweaks={"ssn": "salt"}, key_manager=manager)


def test_attributes_that_can_not_be_copied_are_refused(manager: KeyManager) -> None:
    frame = pd.DataFrame({"ssn": SSNS})
    hidden = anonymize(frame, sensitive_columns=["ssn"], key_manager=manager)
    document = hidden.attrs["secureml"]
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    calls: list[Callable[[pd.DataFrame], object]] = [
        lambda data: anonymize(data, sensitive_columns=["ssn"], key_manager=manager),
        lambda data: reidentify(data, document, key_manager=manager),
        lambda data: rekey(data, "other_key", document, key_manager=manager),
        scan,
    ]
    hidden.attrs = {"mine": nested}
    for call in calls:
        with pytest.raises(PseudonymizationError, match="attrs of the data is nested too deeply"):
            call(hidden)


def test_attributes_of_the_caller_stay_and_are_copied(manager: KeyManager) -> None:
    frame = pd.DataFrame({"ssn": SSNS})
    frame.attrs["mine"] = {"deep": [1]}
    hidden = anonymize(frame, sensitive_columns=["ssn"], key_manager=manager)
    moved = rekey(hidden, "other_key", key_manager=manager)
    back = reidentify(moved, key_manager=manager)
    for result in (hidden, moved, back):
        assert result.attrs["mine"] == {"deep": [1]}
        assert ("secureml" in result.attrs) == (result is not back)
    hidden.attrs["mine"]["deep"].append(2)
    assert frame.attrs == {"mine": {"deep": [1]}}


def _calls(action: Callable[[], object]) -> int:
    """Return how many calls an action makes in this thread, those of C too."""
    count = 0

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("versions", [False, True])
@pytest.mark.parametrize("operation", ["extend", "reidentify", "rekey", "same", "preview", "scan"])
def test_three_times_the_columns_take_three_times_the_work(
    manager: KeyManager, operation: str, versions: bool
) -> None:
    def work(count: int) -> int:
        names = [f"c{number}" for number in range(count)]
        frame = pd.DataFrame(dict.fromkeys(names, SSNS))
        given: dict[str, Any] = {"key_versions": versions, "key_manager": manager}
        half = anonymize(frame, sensitive_columns=names[::2], **given)
        hidden = anonymize(half, sensitive_columns=names[1::2], **given)
        actions: dict[str, Callable[[], object]] = {
            "extend": lambda: anonymize(half, sensitive_columns=names[1::2], **given),
            "reidentify": lambda: reidentify(hidden, key_manager=manager),
            "rekey": lambda: rekey(hidden, "other_key", key_manager=manager),
            "same": lambda: rekey(hidden, key_manager=manager),
            "preview": lambda: anonymize(half, preview=1, sensitive_columns=names[1::2], **given),
            "scan": lambda: scan(frame),
        }
        actions[operation]()  # what is made once
        return _calls(actions[operation])

    assert work(45) < 3.3 * work(15)
