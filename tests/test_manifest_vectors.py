"""Another reader of manifests of schema 3, which shares no code with secureml, reads the vectors.

It follows docs/manifest.md, with AES, HKDF and AES-SIV of cryptography, and is as plain as can be.
"""

from __future__ import annotations

import base64
import hmac
import json
import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TESTS = Path(__file__).parent
VECTORS, UNREAD = (
    json.loads((TESTS / "vectors" / name).read_text("utf-8"))
    for name in ("manifest_3.json", "manifest_3_unread.json")
)
CLASS_TABLE = TESTS.parent / "secureml" / "pseudonymization" / "tables" / "character_classes.txt"


def derive(master: bytes, purpose: str, size: int) -> bytes:
    octets = f"pseudonymization/{purpose}".encode()
    info = b"secureml/derive/v1" + len(octets).to_bytes(4, "big") + octets + size.to_bytes(4, "big")
    return HKDF(SHA256(), size, None, info).derive(master)


def ff1_decrypt(key: bytes, radix: int, tweak: bytes, numerals: list[int]) -> list[int]:
    """SP 800-38G, algorithm 8."""

    def aes(block: bytes) -> bytes:
        return Cipher(AES(key), ECB()).encryptor().update(block)

    def number(digits: list[int]) -> int:
        total = 0
        for digit in digits:
            total = total * radix + digit
        return total

    n, u = len(numerals), len(numerals) // 2
    v = n - u
    b = ((radix**v - 1).bit_length() + 7) // 8
    d = 4 * -(-b // 4) + 4
    p = bytes([1, 2, 1, *radix.to_bytes(3, "big"), 10, u % 256])
    p += n.to_bytes(4, "big") + len(tweak).to_bytes(4, "big")
    left, right = number(numerals[:u]), number(numerals[u:])
    for i in reversed(range(10)):
        q = tweak + bytes((-len(tweak) - b - 1) % 16) + bytes([i]) + left.to_bytes(b, "big")
        r = bytes(16)
        for start in range(0, 16 + len(q), 16):
            r = aes(bytes(x ^ y for x, y in zip(r, (p + q)[start : start + 16], strict=True)))
        s = r
        for j in range(1, -(-d // 16)):
            s += aes(bytes(x ^ y for x, y in zip(r, j.to_bytes(16, "big"), strict=True)))
        m = u if i % 2 == 0 else v
        left, right = (right - int.from_bytes(s[:d], "big")) % radix**m, left
    return digits_of(left, [radix] * u) + digits_of(right, [radix] * v)


def digits_of(number: int, sizes: list[int]) -> list[int]:
    digits = []
    for size in reversed(sizes):
        number, digit = divmod(number, size)
        digits.append(digit)
    return digits[::-1]


def numerals_for(size: int) -> tuple[int, int]:
    bits = (size - 1).bit_length()
    if bits > 112:
        return 2, bits
    n = 2 * -(-bits // 32)
    low, high = 2, 65536
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if middle**n >= size else (middle + 1, high)
    return low, n


def unpermute(
    key: bytes, size: int, tweak: bytes, rank: int, numerals: tuple[int, int] | None = None
) -> int:
    assert size >= 1_000_000
    radix, n = numerals or numerals_for(size)
    while True:
        rank = sum(
            digit * radix ** (n - 1 - place)
            for place, digit in enumerate(
                ff1_decrypt(key, radix, tweak, digits_of(rank, [radix] * n))
            )
        )
        if rank < size:
            return rank


def class_table() -> tuple[list[list[int]], dict[int, tuple[int, int]]]:
    classes = []
    for line in CLASS_TABLE.read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        members: list[int] = []
        for span in line.partition(":")[2].split():
            bounds, _, step = span.partition("/")
            first, _, last = bounds.partition("-")
            members += range(int(first, 16), int(last or first, 16) + 1, int(step or "1", 16))
        classes.append(members)
    return classes, {
        code: (number, place)
        for number, members in enumerate(classes)
        for place, code in enumerate(members)
    }


CLASSES, CLASS_OF = class_table()
Bind = Callable[[bytes], bytes]


def class_1(key: bytes, bind: Bind, text: str) -> str:
    codes = list(map(ord, text))
    places = [place for place, code in enumerate(codes) if code in CLASS_OF]
    symbols = [0x110000 + CLASS_OF[code][0] if code in CLASS_OF else code for code in codes]
    sizes = [len(CLASSES[CLASS_OF[codes[place]][0]]) for place in places]
    rank = 0
    for place, size in zip(places, sizes, strict=True):
        rank = rank * size + CLASS_OF[codes[place]][1]
    tweak = bind(b"class/1" + b"".join(symbol.to_bytes(4, "big") for symbol in symbols))
    one_class = len({symbols[place] for place in places}) == 1
    numerals = (sizes[0], len(sizes)) if one_class else None
    rank = unpermute(key, math.prod(sizes), tweak, rank, numerals)
    for place, digit in zip(places, digits_of(rank, sizes), strict=True):
        codes[place] = CLASSES[CLASS_OF[codes[place]][0]][digit]
    return "".join(map(chr, codes))


def ssn_1(key: bytes, bind: Bind, text: str) -> str:
    separator = "" if len(text) == 9 else text[3]
    area, group, serial = int(text[:3]), int(text[len(separator) + 3 :][:2]), int(text[-4:])
    rank = ((area - 1 - (area > 666)) * 99 + group - 1) * 9999 + serial - 1
    rank = unpermute(key, 898 * 99 * 9999, bind(f"ssn/1 {separator}".encode()), rank)
    area, group, serial = (part + 1 for part in digits_of(rank, [898, 99, 9999]))
    return separator.join((f"{area + (area >= 666):03}", f"{group:02}", f"{serial:04}"))


def credit_card_1(key: bytes, bind: Bind, text: str) -> str:
    places = [place for place, character in enumerate(text) if character.isdigit()][:-1]
    layout = "".join("0" if character.isdigit() else character for character in text).encode()
    tweak = b"credit_card/1" + len(places) * (0x110000).to_bytes(4, "big")
    tweak = bind(b"row/1" + len(layout).to_bytes(8, "big") + layout + tweak)
    number = int("".join(text[place] for place in places))
    size = 10 ** len(places)
    digits = digits_of(unpermute(key, size, tweak, number, (10, len(places))), [10] * len(places))
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[::-2]] + digits[-2::-2]
    plain = list(text)
    for place, digit in zip(places, digits, strict=True):
        plain[place] = str(digit)
    plain[-1] = str(-sum(doubled) % 10)
    return "".join(plain)


def integer_1(key: bytes, bind: Bind, written: int | str) -> int:
    number = int(written)  # text, if the column may have tokens
    sign, count = "-" if number < 0 else "+", len(str(abs(number)))
    first = 10 ** (count - 1) if count > 1 or number < 0 else 0
    last = min(10**count - 1, 2**63 if number < 0 else 2**63 - 1)  # of dtype Int64
    tweak = bind(f"integer/1 {sign} {first} {last}".encode())
    plain = first + unpermute(key, last - first + 1, tweak, abs(number) - first)
    return -plain if number < 0 else plain


FORMATS: dict[str, Any] = {
    "class/1": class_1,
    "ssn/1": ssn_1,
    "credit_card/1": credit_card_1,
    "integer/1": integer_1,
}


def open_token(key: bytes, context: bytes, token: str) -> str:
    octets = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
    return AESSIV(key).decrypt(octets, [context]).decode()


def recovered(master: bytes, entry: dict[str, Any], value: Any, tweak: bytes | None) -> Any:
    """Recover one value that is neither null nor the empty string."""
    domain = entry["domain"]

    def bind(inner: bytes) -> bytes:
        return inner if tweak is None else b"row/1" + len(tweak).to_bytes(8, "big") + tweak + inner

    if entry["strategy"] == "token":
        assert value.startswith(entry["options"]["prefix"])
        key = derive(master, f"siv/{domain}", 64)
        context = bind(f"strategy/token/1/{domain}".encode())
        return open_token(key, context, value.removeprefix(entry["options"]["prefix"]))
    assert entry["strategy"] == "fpe"
    if "token" in (entry["small_domain"], entry["on_invalid"]) and str(value).startswith("~"):
        key, context = derive(master, f"token/{domain}", 64), bind(f"token/1/{domain}".encode())
        return open_token(key, context, value[1:])
    return FORMATS[entry["format"]](derive(master, f"fpe/{domain}", 32), bind, value)


def place(key: bytes, value: Any, tweak: bytes | None) -> str:
    """The place of a pseudonym, or of a pair of one and a tweak, in the order of sketches."""
    factors = [int.from_bytes(key[at : at + 8], "big") | 1 for at in (32, 40, 48)]

    def total(words: list[int]) -> int:
        return words[0] * factors[0] + words[1] + sum(word * factors[1] for word in words[2:])

    def words_of(octets: bytes) -> list[int]:
        words = [octets[:8].rjust(8, b"\0"), octets[-8:].ljust(8, b"\0")]
        middle = (len(octets) - 8) // 2
        words += [octets[middle : middle + 8]] if len(octets) > 16 else []
        return [int.from_bytes(word, "little") for word in words]

    number = isinstance(value, int)
    low = bytes(ord(character) & 255 for character in str(value))
    mixed = total([abs(value), int(value < 0)] if number else words_of(low))
    octets = str(value).encode()
    if tweak is not None:
        mixed += total(words_of(tweak)) * factors[1]
        octets = len(octets).to_bytes(8, "big") + octets + tweak
    return (
        f"{mixed * factors[2] % 2**64 >> 32:08x}{hmac.digest(key[:32], octets, 'sha256')[:4].hex()}"
    )


def opened(master: bytes, kind: str, column: str, sealed: str) -> list[str]:
    octets = bytes.fromhex(sealed)
    context = [kind.encode(), column.encode(), octets[:16]]
    plain = AESSIV(derive(master, "sketch", 64)).decrypt(octets[16:], context)
    return [plain[1 + 8 * one : 9 + 8 * one].hex() for one in range(plain[0])]


def check(manifest: dict[str, Any], masters: dict[int, bytes]) -> None:
    for version in manifest["versions"]:
        assert derive(masters[version["version"]], "key-check", 16).hex() == version["check"]
    body = {name: value for name, value in manifest.items() if name != "mac"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    key = derive(masters[manifest["key"]["version"]], "manifest", 32)
    assert hmac.digest(key, text, "sha256").hex() == manifest["mac"]


def rows_of(vector: dict[str, Any], name: str) -> Iterator[tuple[int, int, Any, bytes | None]]:
    """Go through the rows of a column that hold something: number, version, pseudonym, tweak."""
    manifest, table = vector["manifest"], vector["table"]
    entry = manifest["columns"][name]
    for row, value in enumerate(table[name]):
        version = manifest["key"]["version"]
        if entry["versions"]:
            version = table[f"{name}__key_version"][row]
        tweak = None
        if entry["tweak"] is not None:
            beside = table[entry["tweak"]][row]
            tweak = b"\xff" if beside is None else str(beside).encode()
        if value not in (None, ""):
            yield row, version, value, tweak


@pytest.fixture(params=[*VECTORS["tables"], *UNREAD["tables"]], ids=lambda vector: vector["name"])
def vector(request: pytest.FixtureRequest) -> dict[str, Any]:
    return deepcopy(request.param)


MASTERS = {int(version): bytes.fromhex(key) for version, key in VECTORS["keys"].items()}


def test_the_values_are_recovered(vector: dict[str, Any]) -> None:
    check(vector["manifest"], MASTERS)
    for name, entry in vector["manifest"]["columns"].items():
        if entry["strategy"] not in ("fpe", "token"):
            continue
        made = list(vector["table"][name])
        for row, version, value, tweak in rows_of(vector, name):
            made[row] = recovered(MASTERS[version], entry, value, tweak)
        assert made == vector["result"][name]


def test_the_sketches_hold_all_rows(vector: dict[str, Any]) -> None:
    for name, entry in vector["manifest"]["columns"].items():
        for sketch in entry.get("sketches", []):
            master = MASTERS[sketch["version"]]
            rows = [row for row in rows_of(vector, name) if row[1] == sketch["version"]]
            for kind, purpose in (("values", "sample"), ("pairs", "pairs")):
                if sketch[kind] is None:
                    assert (kind, entry["tweak"]) == ("pairs", None)
                    continue
                key = derive(master, purpose, 56)
                places = {
                    place(key, value, tweak if kind == "pairs" else None)
                    for _, _, value, tweak in rows
                }
                assert opened(master, kind, name, sketch[kind]) == sorted(places)[:64]


def test_a_changed_manifest_is_noticed(vector: dict[str, Any]) -> None:
    vector["manifest"]["columns"]["ssn"]["domain"] += " "
    with pytest.raises(AssertionError):
        check(vector["manifest"], MASTERS)
