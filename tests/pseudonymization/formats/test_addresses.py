from __future__ import annotations

import ipaddress
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.ciphers.ff1 import FF1
from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import Format, resolve_format

if TYPE_CHECKING:
    from conftest import Lab

KEY = bytes(range(32))
V4, V6 = resolve_format("ipv4", {}), resolve_format("ipv6", {})
EITHER = [("ipv4", 32, ipaddress.IPv4Address), ("ipv6", 128, ipaddress.IPv6Address)]


def written(number: int, bits: int) -> str:
    """Write an address; of IPv6 always in hexadecimal, which newer Pythons don't for some."""
    if bits == 32:
        return str(ipaddress.IPv4Address(number))
    text = str(ipaddress.IPv6Address(number))
    if "." not in text:
        return text
    low = number & 0xFFFF_FFFF
    return f"::ffff:{low >> 16:x}:{low & 0xFFFF:x}"


def addresses(bits: int) -> st.SearchStrategy[str]:
    # Groups that are often zero, so that runs of zeros of every length and place occur.
    group = st.sampled_from([0, 0, 1, 0x10, 0xABCD]) | st.integers(0, 0xFFFF)
    groups = st.lists(group, min_size=bits // 16, max_size=bits // 16)
    return groups.map(
        lambda parts: written(int("".join(f"{part:04x}" for part in parts), 16), bits)
    )


@pytest.mark.parametrize(("name", "bits", "kind"), EITHER)
@given(data=st.data())
def test_the_prefix_is_kept_and_addresses_come_back(
    lab: Lab, name: str, bits: int, kind: type, data: st.DataObject
) -> None:
    kept = data.draw(st.integers(0, bits - 20))
    form = resolve_format(name, {"keep_prefix": kept})
    values = data.draw(st.lists(addresses(bits) | st.just(""), max_size=6))
    for value, pseudonym in zip(values, lab.encrypted(form, values), strict=True):
        assert bool(value) == bool(pseudonym)
        if value:
            plain, made = int(kind(value)), int(kind(pseudonym))
            assert plain >> bits - kept == made >> bits - kept
            assert pseudonym == written(made, bits)


@pytest.mark.parametrize(("name", "bits", "kind"), EITHER)
@given(data=st.data())
def test_anything_else_is_reported(
    lab: Lab, name: str, bits: int, kind: type, data: st.DataObject
) -> None:
    noise = st.text("0123456789abcdefF:.", max_size=42) | st.text(max_size=20)
    values = data.draw(st.lists(addresses(bits) | noise, max_size=8))
    for value, pseudonym in zip(values, lab.tried(resolve_format(name, {}), values), strict=True):
        assert (pseudonym is not None) == fits(value, bits, kind)


def fits(value: str, bits: int, kind: type) -> bool:
    try:
        return value == "" or value == written(int(kind(value)), bits)
    except ValueError:
        return False


@pytest.mark.parametrize(
    "value",
    [
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.256",
        "1.2.3.1000",
        "1..2.3",
        ".1.2.3",
        "1.2.3.",
        "1.2.3.4/8",
        "1.2.3.-4",
        "1.2.3.a",
        "0x1.2.3.4",
        "1.2.3.٣",
        "4294967296.1.1.1",
        "00.0.0.0",
        "1:2:3:4",
        "...",
        "1.2.3.4\x00",
        "\x00",
        "1\x00.2.3.4",
    ],
)
def test_what_is_no_ipv4_address(lab: Lab, value: str) -> None:
    assert lab.invalid(V4, ["1.2.3.4", value, ""]) == [value]
    assert lab.invalid(V4, [value, "1.2.3.4"], decrypt=True) == [value]


@pytest.mark.parametrize(
    "value",
    [
        ":",
        ":::",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7::",
        ":1:2:3:4:5:6:7",
        "2001:DB8::1",
        "2001:0db8::1",
        "0::1",
        "1:0:0:0:0:0:0:1",
        "1::2:0:0:0:3",
        "::1%eth0",
        "::ffff:1.2.3.4",
        "12345::1",
        "1:2:3:4:5:6:7:8:",
        "g::1",
        "::٣",
        "[::1]",
        "::1/64",
        "0:0:0:0:0:0:0:0",
        "1.2.3.4",
        "a:::b",
        "::1\x00",
    ],
)
def test_what_is_no_ipv6_address(lab: Lab, value: str) -> None:
    assert lab.invalid(V6, ["::1", value, ""]) == [value]
    assert lab.invalid(V6, [value, "::1"], decrypt=True) == [value]


@pytest.mark.parametrize(("name", "bits", "kind"), EITHER)
@pytest.mark.parametrize("kept", [0, 1, 8, 12])
def test_the_prefix_is_the_tweak_and_the_rest_plain_ff1(
    lab: Lab, name: str, bits: int, kind: type, kept: int
) -> None:
    source = random.Random(kept)
    for number in [source.getrandbits(bits) for _ in range(5)]:
        string = f"{number:0{bits}b}"
        prefix = int(string[:kept].ljust(bits, "0"), 2).to_bytes(16, "big")
        tweak = f"{name}/1".encode() + bytes([kept]) + prefix
        new = FF1(KEY, 2).encrypt([int(bit) for bit in string[kept:]], tweak)
        expected = int(string[:kept] + "".join(map(str, new)), 2)
        form = resolve_format(name, {"keep_prefix": kept})
        assert lab.encrypted(form, [written(number, bits)]) == [written(expected, bits)]


@pytest.mark.parametrize(("name", "bits", "kind"), EITHER)
def test_too_little_left(lab: Lab, name: str, bits: int, kind: type) -> None:
    form = resolve_format(name, {"keep_prefix": bits - 8})
    good = written(5, bits)
    made = lab.transform(form, [good, "x", "", good])
    assert made.small.rows.tolist() == [0, 3]
    assert made.small.domain == 256
    assert made.invalid.tolist() == [1]
    assert made.values.strings() == [""] * 4
    values = [written(network << 8 | host, bits) for network in (5, 7) for host in range(256)]
    pseudonyms = lab.encrypted(form, values, tables=True)
    assert sorted(pseudonyms[:256]) == sorted(values[:256])
    assert sorted(pseudonyms[256:]) == sorted(values[256:])
    # Networks have tables of their own.
    assert [p.rpartition(".")[2].rpartition(":")[2] for p in pseudonyms[:256]] != [
        p.rpartition(".")[2].rpartition(":")[2] for p in pseudonyms[256:]
    ]


@pytest.mark.parametrize("form", [V4, V6])
@pytest.mark.parametrize("given_bits", [-1, 32.0, "8", True, 128, None])
def test_options_that_are_refused(form: Format, given_bits: object) -> None:
    with pytest.raises(PseudonymizationError, match="keep_prefix"):
        type(form)(keep_prefix=given_bits)  # type: ignore[call-arg]  # that is the test


def test_options_are_kept() -> None:
    assert V4.options == {"keep_prefix": 0}
    assert resolve_format("ipv6", {"keep_prefix": 48}).options == {"keep_prefix": 48}


def test_no_two_addresses_meet_and_every_bit_is_as_frequent(lab: Lab) -> None:
    values = [written(number << 12, 32) for number in range(100_000)]
    pseudonyms = lab.encrypted(V4, values)
    assert len(set(pseudonyms)) == len(values)
    lab.even([f"{int(ipaddress.IPv4Address(p)):08x}" for p in pseudonyms], "0123456789abcdef")
    values = [written(0x2001 << 112 | number, 128) for number in range(100_000)]
    form = resolve_format("ipv6", {"keep_prefix": 16})
    pseudonyms = lab.encrypted(form, values)
    assert len(set(pseudonyms)) == len(values)
    lab.even([f"{int(ipaddress.IPv6Address(p)):032x}"[4:] for p in pseudonyms], "0123456789abcdef")


def test_every_address_of_a_network_has_its_own(lab: Lab) -> None:
    values = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(1 << 20)]
    form = resolve_format("ipv4", {"keep_prefix": 12})
    made = lab.transform(form, values).values.strings()
    assert len(set(made)) == len(values)
    assert all(pseudonym.startswith("10.") for pseudonym in made)
    assert max(int(pseudonym.split(".")[1]) for pseudonym in made) == 15


@pytest.mark.parametrize("form", [V4, V6])
def test_tweaks_of_rows_and_wide_text(lab: Lab, form: Format) -> None:
    value = "10.0.0.1" if form is V4 else "2001:db8::1"
    lab.unlinkable(form, value)
    assert lab.encrypted(form, [value], wide=True) == lab.encrypted(form, [value])
    assert lab.invalid(form, [value, "١", "\ud800", value]) == ["١", "\ud800"]


def test_golden_values(lab: Lab) -> None:
    assert lab.encrypted(V4, ["192.0.2.1", "0.0.0.0", "255.255.255.255"]) == GOLDEN[:3]
    kept = resolve_format("ipv4", {"keep_prefix": 8})
    assert lab.encrypted(kept, ["10.1.2.3", "10.1.2.4"]) == GOLDEN[3:5]
    assert lab.encrypted(V6, ["::", "::1", "2001:db8::8a2e:370:7334"]) == GOLDEN[5:8]
    kept = resolve_format("ipv6", {"keep_prefix": 64})
    assert lab.encrypted(kept, ["2001:db8::1", "fe80::1"]) == GOLDEN[8:]


GOLDEN = [
    "69.218.149.186",
    "242.152.163.142",
    "12.252.199.153",
    "10.12.98.2",
    "10.96.202.166",
    "979c:b83:98b9:a665:ae34:8f49:c996:e73b",
    "dd69:bd2c:4630:49e3:d9ff:17c5:bdef:fa58",
    "217f:cf0c:3fb:7604:f15c:4f15:f362:63e7",
    "2001:db8::1513:5c6e:20d5:8efc",
    "fe80::a4cf:d011:a76b:4eee",
]
