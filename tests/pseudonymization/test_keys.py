from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secureml.pseudonymization.keys import DomainKeys

PURPOSES = ("fpe", "tokens", "strategy_tokens", "hash", "tweaked_hash", "tables")
TEXT = st.text(st.sampled_from("a1/"), max_size=6) | st.sampled_from(
    ["prefixed/hash/1/a/b", "prefixed/fpe/0//", "1/a"]
)
OF_STRATEGY = st.tuples(st.none() | TEXT, TEXT, TEXT)
PLACE = st.tuples(st.sampled_from(PURPOSES), st.none() | TEXT, TEXT)


def purpose_of(method: str, prefix: str | None, domain: str, *arguments: object) -> str:
    asked: list[str] = []

    def derive(purpose: str, size: int) -> bytes:
        asked.append(purpose)
        return bytes(size)

    getattr(DomainKeys(derive, domain, prefix), method)(*arguments)
    return asked[0]


def test_what_keys_are_derived_for() -> None:
    assert purpose_of("hash", None, "a/b") == "pseudonymization/hash/a/b"
    assert purpose_of("hash", "é/", "b") == "pseudonymization/prefixed/hash/2/é//b"
    of_strategy = purpose_of("of_strategy", "é", "b", "acme:pin/1", 32)
    assert of_strategy == "pseudonymization/prefixed/strategy/10/acme:pin/1/1/é/b"


@given(OF_STRATEGY, OF_STRATEGY, PLACE)
def test_no_two_strategies_of_other_packages_share_a_key(
    one: tuple[str | None, str, str],
    other: tuple[str | None, str, str],
    built_in: tuple[str, str | None, str],
) -> None:
    first, second = (
        purpose_of("of_strategy", prefix, domain, name, 32) for prefix, domain, name in (one, other)
    )
    assert (first == second) == (one == other)
    assert first != purpose_of(*built_in)


@given(PLACE, PLACE)
def test_no_two_domains_share_a_key(
    one: tuple[str, str | None, str], other: tuple[str, str | None, str]
) -> None:
    assert (purpose_of(*one) == purpose_of(*other)) == (one == other)


def test_a_prefix_is_no_part_of_the_domain() -> None:
    places = [("a", "b/c"), ("a/b", "c"), (None, "a/b/c"), (None, "1/a/b/c"), ("", "a/b/c")]
    assert len({purpose_of("fpe", *place) for place in places}) == len(places)
