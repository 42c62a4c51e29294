"""rekey: pseudonyms under one key become those under another."""

from __future__ import annotations

import pandas as pd
import pytest

from helpers.people import SENSITIVE, SSNS, same
from secureml import anonymize, reidentify, rekey
from secureml.errors import ManifestError, SecretNotFoundError, WrongTableError
from secureml.key_management import KeyManager


class TestRekey:
    @pytest.mark.parametrize("policy", ["token", "null"])
    def test_after_a_rotation(self, manager: KeyManager, people: pd.DataFrame, policy: str) -> None:
        people["small"] = [1, 22, 333, 4_444_444, 5]
        result = anonymize(
            people,
            sensitive_columns=[*SENSITIVE, "small"],
            domains={"ssn": "tax"},
            small_domain=policy,
            key_manager=manager,
        )
        expected = reidentify(result, key_manager=manager)
        manager.rotate_key("master_key")
        newer = rekey(result, key_manager=manager)
        document = newer.attrs["secureml"]
        assert document["key"]["version"] == 2
        assert document["columns"]["ssn"]["domain"] == "tax"
        assert document["columns"]["small"]["small_domain"] == policy
        assert not set(newer["ssn"].iloc[:3]) & {*result["ssn"].iloc[:3], *SSNS}
        assert newer.dtypes.equals(result.dtypes)
        same(reidentify(newer, key_manager=manager), expected)
        direct = anonymize(
            expected,
            sensitive_columns=[*SENSITIVE, "small"],
            domains={"ssn": "tax"},
            small_domain=policy,
            key_manager=manager,
        )
        pd.testing.assert_frame_equal(newer, direct)

    def test_to_another_key(self, manager: KeyManager, people: pd.DataFrame) -> None:
        result = anonymize(people, sensitive_columns=SENSITIVE, key_manager=manager)
        document = result.attrs.pop("secureml")
        newer = rekey(result, "other_key", document, key_manager=manager)
        assert newer.attrs["secureml"]["key"]["name"] == "other_key"
        same(reidentify(newer, key_manager=manager), people)

    def test_only_the_columns_that_are_there(
        self, manager: KeyManager, people: pd.DataFrame
    ) -> None:
        result = anonymize(people, sensitive_columns=SENSITIVE, key_manager=manager)
        some = result.drop(columns="ssn")
        newer = rekey(some, "other_key", drop_missing=True, key_manager=manager)
        assert list(newer.attrs["secureml"]["columns"]) == ["name", "id"]
        same(reidentify(newer, key_manager=manager), people.drop(columns="ssn"))

    @pytest.mark.parametrize("to_key", ["master_key", "other_key"])
    def test_a_missing_column_is_an_error_unless_told(
        self, manager: KeyManager, people: pd.DataFrame, to_key: str
    ) -> None:
        strategy = {"id": "hash"}
        result = anonymize(
            people, strategy=strategy, sensitive_columns=SENSITIVE, key_manager=manager
        )
        renamed = result.rename(columns={"ssn": "SSN"}).drop(columns="id")
        with pytest.raises(WrongTableError, match="lacks 'ssn' of the manifest"):
            rekey(renamed, to_key, key_manager=manager)
        newer = rekey(renamed, to_key, drop_missing=True, key_manager=manager)
        assert {*newer.attrs["secureml"]["columns"]} == {"name", "id"}
        pd.testing.assert_series_equal(newer["SSN"], renamed["SSN"])

    def test_errors(self, manager: KeyManager, people: pd.DataFrame) -> None:
        with pytest.raises(ManifestError, match="no manifest"):
            rekey(people, key_manager=manager)
        result = anonymize(people, sensitive_columns=SENSITIVE, key_manager=manager)
        with pytest.raises(SecretNotFoundError):
            rekey(result, "no_such_key", key_manager=manager)
        result.attrs["secureml"]["columns"]["ssn"]["rows"] = 99
        with pytest.raises(ManifestError, match="MAC"):
            rekey(result, key_manager=manager)
