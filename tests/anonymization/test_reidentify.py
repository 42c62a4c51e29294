"""reidentify: what comes back, and what is refused."""

from __future__ import annotations

import json
from io import BytesIO, StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.people import SENSITIVE, SSNS, same
from secureml import anonymize, reidentify
from secureml.errors import (
    ManifestError,
    MissingColumnWarning,
    PseudonymizationError,
    SecretNotFoundError,
)
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore


class TestReidentify:
    def test_some_rows_and_columns_in_any_order(
        self, manager: KeyManager, people: pd.DataFrame
    ) -> None:
        result = anonymize(people, sensitive_columns=SENSITIVE, key_manager=manager)
        part = result.iloc[[3, 0, 0]][["age", "name"]]
        with pytest.warns(MissingColumnWarning) as caught:
            back = reidentify(part, result.attrs["secureml"], key_manager=manager)
        assert caught[0].message.details.endswith(": 'ssn', 'id'")
        pd.testing.assert_frame_equal(back, people.iloc[[3, 0, 0]][["age", "name"]])

    def test_the_manifest_as_json_text(self, manager: KeyManager, people: pd.DataFrame) -> None:
        result = anonymize(people, sensitive_columns=SENSITIVE, key_manager=manager)
        text = json.dumps(result.attrs.pop("secureml"))
        with pytest.raises(ManifestError, match="pass the one that anonymize made"):
            reidentify(result, key_manager=manager)
        same(reidentify(result, text, key_manager=manager), people)

    def test_parquet_keeps_the_manifest(self, manager: KeyManager, people: pd.DataFrame) -> None:
        file = BytesIO()
        anonymize(people, sensitive_columns=SENSITIVE, key_manager=manager).to_parquet(file)
        same(reidentify(pd.read_parquet(file), key_manager=manager), people)

    def test_through_csv(self, manager: KeyManager, people: pd.DataFrame) -> None:
        people["small"] = [1, 22, 333, 4_444_444, 5]
        people["maybe"] = pd.array([1_234_567, None, 9_999_999, 1_000_000, 1_234_567], "Int32")
        result = anonymize(
            people, sensitive_columns=SENSITIVE[1:], small_domain="error", key_manager=manager
        )
        result = anonymize(
            result, sensitive_columns=["small"], small_domain="token", key_manager=manager
        )
        result = anonymize(result, sensitive_columns=["maybe"], key_manager=manager)
        read = pd.read_csv(StringIO(result.to_csv()), index_col="row")
        assert read["maybe"].dtype == "float64"
        back = reidentify(read, result.attrs["secureml"], key_manager=manager)
        pd.testing.assert_frame_equal(
            back[["small", "maybe", "id"]], people[["small", "maybe", "id"]]
        )
        assert back["name"].tolist()[:4] == people["name"].tolist()[:4]

    def test_old_versions_of_a_key_still_recover(
        self, manager: KeyManager, people: pd.DataFrame
    ) -> None:
        result = anonymize(people, sensitive_columns=SENSITIVE, key_manager=manager)
        manager.rotate_key("master_key")
        newer = anonymize(people, sensitive_columns=SENSITIVE, key_manager=manager)
        assert not set(result["ssn"].iloc[:3]) & set(newer["ssn"].iloc[:3])
        same(reidentify(result, key_manager=manager), people)
        same(reidentify(newer, key_manager=manager), people)

    def test_another_key_of_the_same_name(self, manager: KeyManager, people: pd.DataFrame) -> None:
        result = anonymize(people, sensitive_columns=["ssn"], key_manager=manager)
        stranger = KeyManager(environment="staging", store=MemoryStore())
        stranger.generate_key("master_key")
        with pytest.raises(ManifestError) as caught:
            reidentify(result, key_manager=stranger)
        message = str(caught.value)
        assert "'master_key' version 1 of environment 'development'" in message
        assert "'staging'" in message
        for which in (manager, stranger):
            assert which.get_key().reveal().hex() not in message
        assert stranger.get_key().fingerprint in message
        assert stranger.get_key().source in message

    def test_a_version_that_is_gone(self, manager: KeyManager, people: pd.DataFrame) -> None:
        result = anonymize(people, sensitive_columns=["ssn"], key_manager=manager)
        fewer = KeyManager(environment="development", store=MemoryStore())
        with pytest.raises(SecretNotFoundError):
            reidentify(result, key_manager=fewer)

    @pytest.mark.parametrize(
        ("part", "field", "value"),
        [
            ("key", "environment", "staging"),
            ("version", "check", "00" * 16),
            ("ssn", "format", "integer/1"),
            ("ssn", "domain", "name"),
            ("ssn", "dtype", "int64"),
            ("ssn", "small_domain", "token"),
            ("ssn", "rows", 1),
            ("ssn", "strategy", "other"),
            ("ssn", "algorithm", "AES"),
        ],
    )
    def test_a_changed_manifest(
        self, manager: KeyManager, people: pd.DataFrame, part: str, field: str, value: Any
    ) -> None:
        result = anonymize(people, sensitive_columns=["ssn", "name"], key_manager=manager)
        document = json.loads(json.dumps(result.attrs["secureml"]))
        parts = {"key": document["key"], "version": document["versions"][0], **document["columns"]}
        parts[part][field] = value
        with pytest.raises(ManifestError):
            reidentify(result, document, key_manager=manager)

    def test_a_key_by_another_name_or_version(
        self, manager: KeyManager, people: pd.DataFrame
    ) -> None:
        result = anonymize(people, sensitive_columns=["ssn"], key_manager=manager)
        manager.rotate_key("master_key")
        for field, value in (("name", "other_key"), ("version", 2), ("version", None)):
            document = json.loads(json.dumps(result.attrs["secureml"]))
            document["key"][field] = value
            if field == "version":
                document["versions"][0]["version"] = value
                document["columns"]["ssn"]["sketches"][0]["version"] = value
            # The key is found by its check, whatever its number; the manifest was changed.
            match = "MAC does not fit" if field == "version" else "not the same"
            with pytest.raises(ManifestError, match=match):
                reidentify(result, document, key_manager=manager)

    def test_a_manifest_of_another_table(self, manager: KeyManager, people: pd.DataFrame) -> None:
        result = anonymize(people, sensitive_columns=["ssn"], key_manager=manager)
        with pytest.raises(ManifestError, match="none of the columns of the manifest: 'ssn'"):
            reidentify(result[["name", "age"]], key_manager=manager)

    @pytest.mark.parametrize(
        ("values", "match"),
        [
            (["short", "078-05-1120", ""], None),
            (["abc", "x", "?"], "column 'ssn': 3 values can't be pseudonyms"),
            ([1, 2, 3], "column 'ssn': it was pseudonymized as text and now has dtype int64"),
            (
                [b"x", None, 5],
                r"column 'ssn': it holds values that are not strings \(1 bytes, 1 int",
            ),
            ([True, False, True], "column 'ssn': its dtype is bool"),
        ],
    )
    def test_a_column_that_was_changed(
        self, manager: KeyManager, values: list[Any], match: str | None
    ) -> None:
        result = anonymize(
            pd.DataFrame({"ssn": SSNS}), sensitive_columns=["ssn"], key_manager=manager
        )
        result["ssn"] = values
        arguments: dict[str, Any] = {"check_table": False, "key_manager": manager}
        if match is None:
            assert reidentify(result, **arguments)["ssn"].iloc[1] not in SSNS
            return
        with pytest.raises(PseudonymizationError, match=match):
            reidentify(result, **arguments)

    @pytest.mark.parametrize(
        ("values", "match"),
        [
            ([1, 2], "column 'id': 2 values can't be pseudonyms"),
            ([1 << 40, 1_234_567], "column 'id': 1 values can't be pseudonyms"),
            (["x", "1234567"], "column 'id': 1 values are not whole numbers"),
            ([0.5, 2.0], "column 'id': of its float64 values, 1 are not whole"),
            (["~abc", "1234567"], "column 'id': 1 values are not whole numbers"),
        ],
    )
    def test_a_column_of_integers_that_was_changed(
        self, manager: KeyManager, values: list[Any], match: str
    ) -> None:
        frame = pd.DataFrame({"id": np.array([1_234_567, 7_654_321], np.int32)})
        result = anonymize(frame, sensitive_columns=["id"], key_manager=manager)
        result["id"] = values
        with pytest.raises(PseudonymizationError, match=match):
            reidentify(result, check_table=False, key_manager=manager)

    def test_integers_that_became_text_or_categories(self, manager: KeyManager) -> None:
        frame = pd.DataFrame({"id": [1_234_567, -7_654_321]})
        result = anonymize(frame, sensitive_columns=["id"], key_manager=manager)
        for dtype in ("string", "object"):
            text = result.astype({"id": "string"}).astype({"id": dtype})
            same(reidentify(text, key_manager=manager), frame)
        categories = result.astype({"id": "string"}).astype({"id": "category"})
        same(reidentify(categories, key_manager=manager), frame)
