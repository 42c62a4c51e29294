"""Options by column: of its strategy or of its format, kept in the manifest with the defaults."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from secureml import anonymize, reidentify, rekey
from secureml.errors import PseudonymizationError
from secureml.key_management import KeyManager


def table() -> pd.DataFrame:
    return pd.DataFrame({"card": ["4111 1111 1111 1111", "378282246310005"], "name": ["Bo", "Al"]})


def made(manager: KeyManager, **arguments: Any) -> pd.DataFrame:
    arguments = {"sensitive_columns": ["card", "name"], "strategy": {"name": "token"}} | arguments
    return anonymize(table(), key_manager=manager, **arguments)


def test_options_of_a_strategy_and_of_a_format(manager: KeyManager) -> None:
    result = made(
        manager,
        formats={"card": "credit_card"},
        options={"card": {"keep_first": 4}, "name": {"prefix": "p_"}},
    )
    assert result["card"].str[:4].tolist() == ["4111", "3782"]
    assert result["name"].str.startswith("p_").all()
    columns = result.attrs["secureml"]["columns"]
    assert columns["card"]["options"] == {"keep_first": 4, "keep_last": 0}
    assert columns["name"]["options"] == {"prefix": "p_", "encoding": "base32"}
    pd.testing.assert_frame_equal(reidentify(result, key_manager=manager), table())
    moved = rekey(result, "other_key", key_manager=manager)
    assert moved["card"].str[:4].tolist() == ["4111", "3782"]
    assert moved.attrs["secureml"]["columns"]["name"]["options"]["prefix"] == "p_"
    pd.testing.assert_frame_equal(reidentify(moved, key_manager=manager), table())


def test_options_are_a_part_of_what_the_mac_covers(manager: KeyManager) -> None:
    result = made(manager, options={"name": {"prefix": "p_"}})
    result.attrs["secureml"]["columns"]["name"]["options"]["prefix"] = "q_"
    with pytest.raises(PseudonymizationError, match="MAC does not fit"):
        reidentify(result, key_manager=manager)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"nmae": {}}, "options names 'nmae', .* column; did you mean 'name'"),
        ({"name": "prefix"}, r"options\['name'\] must be a mapping"),
        ({"name": {"prefx": "p"}}, "column 'name': .*no option 'prefx'; did you mean 'prefix'"),
        ({"name": {"prefix": 7}}, "column 'name': the prefix of tokens"),
        ({"card": {"keep_first": 4}}, "column 'card': the format 'class/1' has no option"),
    ],
)
def test_options_that_do_not_fit(manager: KeyManager, options: Any, match: str) -> None:
    with pytest.raises(PseudonymizationError, match=match) as caught:
        made(manager, options=options)
    assert caught.value.__context__ is None
