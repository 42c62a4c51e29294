from __future__ import annotations

import pytest

from secureml.errors import ManifestError
from secureml.pseudonymization.sealing import SketchSeal
from secureml.pseudonymization.sketch import SIZE

SEAL = SketchSeal(bytes(range(64)))
FULL = tuple(f"{number:016x}" for number in range(SIZE))


@pytest.mark.parametrize("count", [0, 1, 2, SIZE - 1, SIZE])
def test_what_was_sealed_is_opened_again(count: int) -> None:
    assert SEAL.open("ssn", SEAL.seal("ssn", FULL[:count])) == FULL[:count]


def test_the_number_of_places_does_not_show() -> None:
    assert len({len(SEAL.seal("ssn", FULL[:count])) for count in range(SIZE + 1)}) == 1


def test_equal_sketches_differ() -> None:
    assert SEAL.seal("ssn", FULL) != SEAL.seal("ssn", FULL)
    nonce = bytes(16)
    assert SEAL.seal("ssn", FULL, nonce) == SEAL.seal("ssn", FULL, nonce)


def test_golden_seal() -> None:
    sealed = bytes.fromhex(SEAL.seal("Zoë", FULL[1:3], bytes(range(16))))
    assert sealed[:16] == bytes(range(16))
    assert len(sealed) == 16 + 16 + 1 + 8 * SIZE
    assert sealed[16:32].hex() == "00803cd9ab856ae0df1f96789cc3fce4"


def test_a_sketch_of_another_column_or_key_or_a_changed_one() -> None:
    sealed = SEAL.seal("ssn", FULL)
    octets = bytearray.fromhex(sealed)
    octets[40] ^= 1
    changed = octets.hex()
    for seal, column, given in (
        (SEAL, "id", sealed),
        (SketchSeal(bytes(64)), "ssn", sealed),
        (SEAL, "ssn", changed),
        (SEAL, "ssn", sealed[:-4]),
        (SEAL, "ssn", ""),
        (SEAL, "ssn", "é"),
    ):
        with pytest.raises(ManifestError, match="can't be decrypted") as caught:
            seal.open(column, given)
        assert caught.value.__context__ is None
