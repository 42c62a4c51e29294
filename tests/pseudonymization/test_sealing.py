from __future__ import annotations

import pytest

from secureml.errors import ManifestError
from secureml.pseudonymization.sealing import SketchSeal
from secureml.pseudonymization.sketch import SIZE

SEAL = SketchSeal(bytes(range(64)))
FULL = tuple(f"{number:016x}" for number in range(SIZE))


@pytest.mark.parametrize("count", [0, 1, 2, SIZE - 1, SIZE])
def test_what_was_sealed_is_opened_again(count: int) -> None:
    assert SEAL.open("values", "ssn", SEAL.seal("values", "ssn", FULL[:count])) == FULL[:count]


def test_the_number_of_places_does_not_show() -> None:
    assert len({len(SEAL.seal("values", "ssn", FULL[:count])) for count in range(SIZE + 1)}) == 1


def test_equal_sketches_differ() -> None:
    assert SEAL.seal("values", "ssn", FULL) != SEAL.seal("values", "ssn", FULL)
    first, second = (SEAL.seal("values", "ssn", FULL, bytes(16)) for _ in range(2))
    assert first == second


def test_golden_seal() -> None:
    sealed = bytes.fromhex(SEAL.seal("values", "Zoë", FULL[1:3], bytes(range(16))))
    assert sealed[:16] == bytes(range(16))
    assert len(sealed) == 16 + 16 + 1 + 8 * SIZE
    assert sealed[16:32].hex() == "c4c7aeb696b2f9775eadcd48d1570e5c"


def test_a_sketch_of_another_column_or_key_or_a_changed_one() -> None:
    sealed = SEAL.seal("values", "ssn", FULL)
    octets = bytearray.fromhex(sealed)
    octets[40] ^= 1
    changed = octets.hex()
    with pytest.raises(ManifestError):
        SEAL.open("pairs", "ssn", sealed)
    for seal, column, given in (
        (SEAL, "id", sealed),
        (SketchSeal(bytes(64)), "ssn", sealed),
        (SEAL, "ssn", changed),
        (SEAL, "ssn", sealed[:-4]),
        (SEAL, "ssn", ""),
        (SEAL, "ssn", "é"),
    ):
        with pytest.raises(ManifestError, match="can't be decrypted") as caught:
            seal.open("values", column, given)
        assert caught.value.__context__ is None
