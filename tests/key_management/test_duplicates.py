"""Versions that hold the same key are found, and told of if one of them goes out of use."""

from __future__ import annotations

import pytest

from secureml.errors import SecureMLWarning
from secureml.key_management.duplicates import groups_of_duplicates, warn_of_duplicates
from secureml.keys import KeyInfo


def info(
    version: int,
    fingerprint: str | None,
    state: str = "decrypt-only",
    transit_key: str | None = None,
) -> KeyInfo:
    return KeyInfo(
        name="k",
        version=version,
        fingerprint=fingerprint,
        source="vault",
        environment=None,
        path="secret/secureml/k",
        state=state,
        transit_key=transit_key,
    )


def test_versions_of_one_key_are_a_group_unless_they_are_wrapped() -> None:
    history = [
        info(1, "aa"),
        info(2, "bb"),
        info(3, "aa"),
        info(4, None, "destroyed"),
        info(5, None, "destroyed"),
        info(6, "cc", transit_key="transit/k"),
        info(7, "cc", transit_key="transit/k"),
    ]
    assert list(groups_of_duplicates(history)) == [(history[0], history[2])]


@pytest.mark.parametrize(
    ("state", "other", "warns"),
    [
        ("disabled", "decrypt-only", True),
        ("disabled", "disabled", False),
        ("disabled", "destroyed", False),
        ("disabled", "deleted", False),
        ("destroyed", "disabled", True),
        ("destroyed", "enabled", True),
        ("destroyed", "destroyed", False),
    ],
)
def test_a_version_out_of_use_whose_key_is_in_use_is_told(
    state: str, other: str, warns: bool, recwarn: pytest.WarningsRecorder
) -> None:
    history = [info(1, "aa"), info(2, "bb"), info(3, "aa", other)]
    warn_of_duplicates(info(1, "aa", state), history)
    told = [each.message.details for each in recwarn if isinstance(each.message, SecureMLWarning)]
    expected = f"version 1 is {state}, and the same key is still in version 3 ({other})"
    assert told == ([f"secret/secureml/k {expected}"] if warns else [])
