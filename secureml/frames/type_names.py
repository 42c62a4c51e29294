"""The names that manifests give the types of columns, and Arrow's types for them."""

from __future__ import annotations

import re

import pyarrow as pa

__all__ = ["arrow_name_of", "dtype_name_of", "type_of", "type_of_dtype"]

_INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64()]
_INTEGERS += [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
_FLOATS = {"float16": pa.float16(), "float32": pa.float32(), "float64": pa.float64()}
_TEXT = [pa.string(), pa.large_string(), pa.string_view()]
_TIMES = [pa.date32(), pa.date64()]
_TIMES += [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")]
_PLAIN = {str(one): one for one in [pa.null(), *_TEXT, *_INTEGERS, *_FLOATS.values(), *_TIMES]}

_DECIMAL = re.compile(r"(decimal(?:32|64|128|256))\(([0-9]{1,2}), (-?[0-9]{1,9})\)", re.ASCII)
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]", re.ASCII)
_DICTIONARY = re.compile(
    r"dictionary<(?:values=)?(.+), (?:indices=)?(u?int(?:8|16|32|64)), ordered=(0|1|False|True)>",
    re.ASCII,
)

_NUMBERS = {**{str(one): one for one in _INTEGERS}, **_FLOATS}
_STRINGS = frozenset(("object", "str", "string", "string[python]", "string[pyarrow_numpy]"))
_SWAPPED = re.compile(r">([iuf])([1248])", re.ASCII)  # octets in the other order
_SWAPPED_KINDS = {"i": "int", "u": "uint", "f": "float"}
_PYTHON_DECIMALS = re.compile(r"decimal\[([0-9]{1,2})\]", re.ASCII)
_DATETIME = re.compile(r"datetime64\[(s|ms|us|ns)(?:, (?:UTC(?=[+-]))?(.+))?\]", re.ASCII)
_PYARROW = "[pyarrow]"


def type_of(name: str) -> pa.DataType | None:
    """Return the Arrow type that has a name, or None if it is no text, number or time.

    Args:
        name: as Arrow writes the type; of a dictionary, as ``arrow_name_of`` does too.
    """
    dictionary = _DICTIONARY.fullmatch(name)
    if dictionary is None:
        return _plain_type_of(name)
    values = _plain_type_of(dictionary[1])
    ordered = dictionary[3] in ("1", "True")
    return values and pa.dictionary(_PLAIN[dictionary[2]], values, ordered=ordered)


def type_of_dtype(name: str) -> pa.DataType | None:
    """Return the Arrow type of columns whose dtype has a name in manifests, or None for others.

    Args:
        name: as pandas writes the dtype. ``category`` does not tell of what, and is taken for text.
    """
    if name in _STRINGS or name == "category":
        return pa.string()
    if name.endswith(_PYARROW):
        return type_of(name.removesuffix(_PYARROW))
    swapped = _SWAPPED.fullmatch(name)
    if swapped:
        name = f"{_SWAPPED_KINDS[swapped[1]]}{8 * int(swapped[2])}"
    number = _NUMBERS.get(name.lower())  # pandas' own start with a capital
    if number is not None:
        return number
    python = _PYTHON_DECIMALS.fullmatch(name)
    if python:
        return pa.decimal128(38, int(python[1]))
    moment = _DATETIME.fullmatch(name)
    if moment is None:
        return None
    unit, zone = moment.groups()
    # A zone that is an object of Python's without a name: the same moments.
    return pa.timestamp(unit, "UTC" if zone and "(" in zone else zone)


def dtype_name_of(arrow_type: pa.DataType) -> str:
    """Return the name of the dtype in manifests for a column that does not come from pandas."""
    if pa.types.is_dictionary(arrow_type):
        return "category"
    for name, floats in _FLOATS.items():
        if arrow_type == floats:
            return name
    return f"{arrow_type}{_PYARROW}"


def arrow_name_of(arrow_type: pa.DataType) -> str:
    """Return the name of an Arrow type in manifests."""
    if not pa.types.is_dictionary(arrow_type):
        return str(arrow_type)
    values, indices = arrow_name_of(arrow_type.value_type), arrow_type.index_type
    return f"dictionary<{values}, {indices}, ordered={arrow_type.ordered}>"


def _plain_type_of(name: str) -> pa.DataType | None:
    """Return the type that has a name, if it is no dictionary."""
    plain = _PLAIN.get(name)
    if plain is not None:
        return plain
    timestamp = _TIMESTAMP.fullmatch(name)
    if timestamp:
        return pa.timestamp(*timestamp.groups())
    decimal = _DECIMAL.fullmatch(name)
    make = getattr(pa, decimal[1], None) if decimal else None  # pyarrow 18 has two of the four
    if decimal is None or make is None:
        return None
    try:
        return make(int(decimal[2]), int(decimal[3]))
    except ValueError:  # more digits than it holds
        return None
