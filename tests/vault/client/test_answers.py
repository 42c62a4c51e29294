"""What is read of Vault's answers: each member as its type, or an error that shows none of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from secureml.errors import MalformedAnswerError
from secureml.vault.client.answers import Members

PLACE = "https://vault.example"
CANARY = "hvs.canary-9c1f"


def members(**given: Any) -> Members:
    read = Members.parse(json.dumps(given).encode(), PLACE)
    assert read is not None
    return read


@pytest.mark.parametrize(
    ("method", "value", "expected"),
    [
        ("text", "a", "a"),
        ("text", None, None),
        ("word", "kv", "kv"),
        ("word", "", ""),
        ("word", None, None),
        ("flag", True, True),
        ("flag", None, False),
        ("integer", 0, 0),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("integer", None, None),
        ("seconds", 3600, 3600),
        ("seconds", None, 0),
        ("time", "2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (
            "time",
            "2026-01-02T03:04:05.000001+01:00",
            datetime(2026, 1, 2, 3, 4, 5, 1, tzinfo=timezone(timedelta(hours=1))),
        ),
        ("time", "", None),
        ("time", None, None),
        ("texts", ["a", "b"], ["a", "b"]),
        ("texts", None, []),
        ("labels", {"a": "b"}, {"a": "b"}),
        ("labels", None, {}),
    ],
)
def test_a_member_is_read_as_its_type(method: str, value: object, expected: object) -> None:
    found = getattr(members(m=value), method)("m")
    assert (found, type(found)) == (expected, type(expected))
    if value is None:
        assert getattr(members(), method)("m") == expected


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("text", 5),
        ("text", [CANARY]),
        ("word", f"two words {CANARY}"),
        ("word", "w" * 65),
        ("word", "\x1b[2J"),
        ("flag", CANARY),
        ("flag", 1),
        ("integer", True),
        ("integer", -1),
        ("integer", 2**63),
        ("integer", 1.5),
        ("integer", CANARY),
        ("seconds", 2**62),
        ("time", CANARY),
        ("time", "2026-01-02T03:04:05"),
        ("time", 1767323045),
        ("texts", [CANARY, 5]),
        ("texts", {CANARY: 1}),
        ("labels", {"a": [CANARY]}),
        ("mapping", [CANARY]),
        ("section", CANARY),
    ],
)
def test_a_member_of_another_type_is_an_error_that_does_not_show_it(
    method: str, value: object
) -> None:
    with pytest.raises(MalformedAnswerError, match="'m' is missing or of another type") as caught:
        getattr(members(m=value), method)("m")
    assert PLACE in str(caught.value)
    assert CANARY not in repr(caught.value) + str(caught.value)
    assert caught.value.__context__ is None


def test_objects_inside_are_members_too() -> None:
    outer = members(data={"token": CANARY, "empty": None})
    assert outer.section("data").text("token") == CANARY
    inner = outer.mapping("data")
    assert inner is not None
    assert dict(inner) == {"token": CANARY, "empty": None}
    assert outer.mapping("absent") is None
    assert len(outer.section("absent")) == 0
    assert CANARY not in repr(outer) + repr(inner)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"5", b'{"a": ', b'"\xff"', b'{"a": "\\ud800"}', b"[" * 100_000, b'{"a":' * 201],
)
def test_what_vault_could_not_send_is_no_answer(content: bytes) -> None:
    assert Members.parse(content, PLACE) is None


@pytest.mark.parametrize(("levels", "is_read"), [(199, True), (201, False)])
def test_an_answer_is_only_so_deep(levels: int, is_read: bool) -> None:
    lists = b'{"a": ' + b"[" * levels + b"]" * levels + b"}"
    objects = b'{"a": ' * levels + b"0" + b"}" * levels
    for content in (lists, objects):
        assert (Members.parse(content, PLACE) is not None) is is_read
    wide = json.dumps({"a": [[] for _ in range(500)]}).encode()
    assert Members.parse(wide, PLACE) is not None


def test_what_an_answer_complains_of_is_found_in_any_case() -> None:
    answer = members(errors=["1 error occurred: Permission Denied"])
    assert answer.says("permission denied")
    assert not answer.says("sealed")
    assert not members().says("")


@pytest.mark.parametrize(
    ("request_id", "expected"),
    [
        ("0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0", "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"),
        (CANARY, None),
        ("", None),
    ],
)
def test_only_a_uuid_is_the_id_of_a_request(request_id: str, expected: str | None) -> None:
    assert members(request_id=request_id).request_id == expected
