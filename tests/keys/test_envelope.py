"""A data key as the transit engine wrapped it."""

import pytest

from secureml.errors import KeyMaterialError
from secureml.keys.envelope import Envelope

WRAPPED = "vault:v12:" + "A" * 80


def test_an_envelope_tells_the_transit_key_and_its_version():
    envelope = Envelope(wrapped=WRAPPED, transit_key="team/transit/orders")
    assert (envelope.mount, envelope.transit_version) == ("team/transit", 12)
    assert WRAPPED not in repr(envelope)


@pytest.mark.parametrize("wrapped", ["", "A" * 80, "vault:12:AAAA", "vault:v1:", f"{WRAPPED} ", 5])
def test_text_that_the_transit_engine_does_not_give_is_refused(wrapped):
    with pytest.raises(KeyMaterialError, match="is not text that Vault's transit engine gives"):
        Envelope(wrapped=wrapped, transit_key="transit/orders")


@pytest.mark.parametrize(
    "key", ["", "orders", "transit/", "/orders", "a/../orders", "transit/or ders", "transit/..", 5]
)
def test_what_names_no_transit_key_is_refused(key):
    with pytest.raises(KeyMaterialError, match="does not name a key"):
        Envelope(wrapped=WRAPPED, transit_key=key)
