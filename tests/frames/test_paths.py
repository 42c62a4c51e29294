from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.frames.leaves import leaf, leaf_beside, rows_of_leaf, with_leaf
from secureml.frames.paths import Path, column_of, holders_of, paths_of, resolve

SECRET = b"secret"
PLAIN = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.int64(),
    pa.timestamp("us", "Europe/Berlin"),
    pa.dictionary(pa.int8(), pa.string()),
    pa.run_end_encoded(pa.int32(), pa.string()),
    pa.uuid(),
]
NEW = [pa.string(), pa.int32(), pa.string_view(), pa.dictionary(pa.int16(), pa.string())]


def fields(kinds: st.SearchStrategy[pa.DataType], name: str) -> st.SearchStrategy[pa.Field]:
    metadata = st.sampled_from([None, {"origin": name}])
    return st.builds(pa.field, st.just(name), kinds, st.booleans(), metadata)


def nested(kinds: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    element = fields(kinds, "of_list")
    key, item = fields(kinds, "of_key"), fields(kinds, "of_value")
    return st.one_of(
        st.tuples(fields(kinds, "first"), fields(kinds, "a.b")).map(pa.struct),
        fields(kinds, "only").map(lambda field: pa.struct([field])),
        st.builds(
            lambda make, field: make(field),
            st.sampled_from([pa.list_, pa.large_list, pa.list_view, pa.large_list_view]),
            element,
        ),
        st.builds(pa.list_, element, st.integers(0, 2)),
        st.builds(
            lambda key, item, sorted_: pa.map_(key.with_nullable(False), item, sorted_),
            key,
            item,
            st.booleans(),
        ),
    )


TYPES = nested(st.recursive(st.sampled_from(PLAIN), nested, max_leaves=4))


class Builder:
    """Makes arrays with values under nulls, beside of slices and between lists."""

    def __init__(self, random: Random) -> None:
        self.random, self.made = random, 0

    def array(self, field: pa.Field, length: int) -> pa.Array:
        head, tail = self.random.randint(0, 2), self.random.randint(0, 9)
        length += head + tail
        whole = self.whole(field.type, length, self.validity(length) if field.nullable else None)
        return whole.slice(head, length - head - tail)

    def validity(self, length: int) -> pa.Buffer | None:
        if self.random.random() < 0.3:
            return None
        some = self.random.choice([0, 0.7])  # 0: all are null
        valid = [self.random.random() < some for _ in range(length)]
        return pa.py_buffer(np.packbits(np.array(valid, np.bool_), bitorder="little"))

    def whole(self, kind: pa.DataType, length: int, validity: pa.Buffer | None) -> pa.Array:
        types = pa.types
        if types.is_struct(kind):
            children = [self.array(field, length) for field in kind]
            return pa.Array.from_buffers(kind, length, [validity], children=children)
        if types.is_fixed_size_list(kind):
            child = self.array(kind.value_field, length * kind.list_size)
            return pa.Array.from_buffers(kind, length, [validity], children=[child])
        if types.is_nested(kind) and not types.is_run_end_encoded(kind):
            large = types.is_large_list(kind) or types.is_large_list_view(kind)
            width = np.int64 if large else np.int32
            counts = [self.random.randint(0, 3) for _ in range(length)]
            first, total = self.random.randint(0, 2), sum(counts)
            starts = np.cumsum([first, *counts])
            layout = [starts]
            if types.is_list_view(kind) or types.is_large_list_view(kind):
                places = range(first + total + 1)
                starts = np.array([self.random.choice(places) for _ in range(length)], np.int64)
                sizes = np.minimum(counts, first + total - starts)
                layout = [starts, sizes]
            child = self.elements(kind, first + total + self.random.randint(0, 2))
            buffers = [validity, *(pa.py_buffer(part.astype(width)) for part in layout)]
            return pa.Array.from_buffers(kind, length, buffers, children=[child])
        return self.plain(kind, length, validity)

    def elements(self, kind: pa.DataType, length: int) -> pa.Array:
        field = kind.field(0)
        if pa.types.is_map(kind):  # pyarrow does not write the offset of entries as Python values
            return self.whole(field.type, length, None)
        return self.array(field, length)

    def plain(self, kind: pa.DataType, length: int, validity: pa.Buffer | None) -> pa.Array:
        numbers = range(self.made, self.made + length)
        self.made += length
        octets = [SECRET + b"%010d" % number for number in numbers]
        strings = [value.decode() for value in octets]
        if isinstance(kind, pa.BaseExtensionType):
            storage = pa.array(octets, kind.storage_type)
            buffers = [validity, *storage.buffers()[1:]]
            storage = pa.Array.from_buffers(kind.storage_type, length, buffers)
            return pa.ExtensionArray.from_storage(kind, storage)
        if pa.types.is_run_end_encoded(kind):
            ends = pa.array(range(1, length + 1), pa.int32())
            return pa.RunEndEncodedArray.from_arrays(ends, pa.array(strings, pa.string()))
        if pa.types.is_dictionary(kind):
            places = [self.random.randint(0, 3) for _ in range(length)]
            buffers = [validity, pa.array(places, pa.int8()).buffers()[1]]
            indices = pa.Array.from_buffers(pa.int8(), length, buffers)
            words = pa.array([f"secret{self.made}{place}" for place in range(4)])
            return pa.DictionaryArray.from_arrays(indices, words)
        values: list[Any] = strings
        if kind in (pa.int64(), pa.timestamp("us", "Europe/Berlin")):
            values = [int.from_bytes(SECRET, "little") + (number << 48) for number in numbers]
        if kind == pa.string_view():  # older versions do not make them of buffers
            texts = pa.array(strings, pa.string())
            return pa.Array.from_buffers(
                pa.string(), length, [validity, *texts.buffers()[1:]]
            ).cast(kind)
        array = pa.array(values, kind)
        return pa.Array.from_buffers(kind, length, [validity, *array.buffers()[1:]])


@st.composite
def columns(draw: st.DrawFn) -> tuple[pa.Field, Any]:
    """A column of a nested type, in one piece or in chunks."""
    column = pa.field("x", draw(TYPES), draw(st.booleans()), {"of": "column"})
    builder = Builder(draw(st.randoms(use_true_random=False)))
    sizes = draw(st.lists(st.integers(0, 4), max_size=3))
    if len(sizes) == 1 and draw(st.booleans()):
        return column, builder.array(column, sizes[0])
    return column, pa.chunked_array([builder.array(column, n) for n in sizes], column.type)


def slow_leaf(value: Any, kind: pa.DataType, children: tuple[int, ...]) -> Iterator[Any]:
    """Yield the values of a path in one value of Python."""
    if not children:
        yield value
    elif value is not None and pa.types.is_struct(kind):
        field = kind.field(children[0])
        yield from slow_leaf(value[field.name], field.type, children[1:])
    elif value is not None and pa.types.is_map(kind):
        within = (kind.key_type, kind.item_type)[children[1]]
        for entry in value:
            yield from slow_leaf(entry[children[1]], within, children[2:])
    elif value is not None:
        for element in value:
            yield from slow_leaf(element, kind.value_type, children[1:])


def slow_with_leaf(
    value: Any, kind: pa.DataType, children: tuple[int, ...], new: Iterator[Any]
) -> Any:
    """Return one value of Python with other values of a path."""
    if not children:
        return next(new)
    if value is None:
        return None
    if pa.types.is_struct(kind):
        field = kind.field(children[0])
        inner = slow_with_leaf(value[field.name], field.type, children[1:], new)
        return {**value, field.name: inner}
    if pa.types.is_map(kind):
        within = (kind.key_type, kind.item_type)[children[1]]
        entries = [list(entry) for entry in value]
        for entry in entries:
            entry[children[1]] = slow_with_leaf(entry[children[1]], within, children[2:], new)
        return [tuple(entry) for entry in entries]
    return [slow_with_leaf(element, kind.value_type, children[1:], new) for element in value]


def new_values(kind: pa.DataType, count: int, *, nullable: bool) -> pa.Array:
    made: list[Any] = [f"new {number}" for number in range(count)]
    plain = kind
    if pa.types.is_integer(kind):
        made = list(range(count))
    elif pa.types.is_dictionary(kind) or kind == pa.string_view():
        plain = pa.string()
    if nullable:
        made[1::3] = [None] * len(made[1::3])
    array = pa.array(made, plain)
    return (
        array.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else array.cast(kind)
    )


def chunks(array: Any) -> list[pa.Array]:
    return array.chunks if isinstance(array, pa.ChunkedArray) else [array]


def buffers(array: pa.Array) -> Iterator[pa.Buffer]:
    """Yield all buffers of an array, and of its dictionaries."""
    yield from filter(None, array.buffers())
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if isinstance(array, pa.DictionaryArray):
        yield from buffers(array.dictionary)
    elif isinstance(array, pa.StructArray):
        for at in range(array.type.num_fields):
            yield from buffers(array.field(at))
    elif pa.types.is_nested(array.type) and hasattr(array, "values"):
        yield from buffers(array.values)


def paths_within(column: pa.Field) -> list[Path]:
    return paths_of(pa.schema([column]))


@given(columns())
def test_a_leaf_has_the_values_of_its_path_and_their_rows(made: tuple[pa.Field, Any]) -> None:
    column, array = made
    rows = array.to_pylist()
    for path in paths_within(column):
        expected = [list(slow_leaf(row, column.type, path.children)) for row in rows]
        found = leaf(array, path)
        for chunk in chunks(found):
            chunk.validate(full=True)
        assert found.type == path.type
        assert type(found) is pa.ChunkedArray or not isinstance(array, pa.ChunkedArray)
        assert found.to_pylist() == [value for row in expected for value in row]
        numbers = [number for number, row in enumerate(expected) for _ in row]
        assert rows_of_leaf(array, path).tolist() == numbers


@given(columns(), st.sampled_from(NEW))
def test_a_new_leaf_is_in_the_place_of_the_old_one(
    made: tuple[pa.Field, Any], kind: pa.DataType
) -> None:
    column, array = made
    for path in paths_within(column):
        old = leaf(array, path)
        new = new_values(kind, len(old), nullable=path.nullable)
        result = with_leaf(array, path, new)
        taken = iter(new.to_pylist())
        expected = [
            slow_with_leaf(row, column.type, path.children, taken) for row in array.to_pylist()
        ]
        assert result.to_pylist() == expected
        assert list(map(len, chunks(result))) == list(map(len, chunks(array)))
        for chunk, before in zip(chunks(result), chunks(array), strict=True):
            chunk.validate(full=True)
            assert chunk.is_null().equals(before.is_null())
        replaced = resolve(pa.schema([column.with_type(result.type)]), path.text)
        assert replaced
        assert replaced.type == kind
        assert leaf(result, replaced).to_pylist() == new.to_pylist()
        back = with_leaf(result, replaced, old)
        assert back.to_pylist() == array.to_pylist()


@given(columns(), st.sampled_from(NEW))
def test_after_all_leaves_are_replaced_no_buffer_holds_an_old_value(
    made: tuple[pa.Field, Any], kind: pa.DataType
) -> None:
    column, array = made
    old = {buffer.address for chunk in chunks(array) for buffer in buffers(chunk) if buffer.size}
    for at in range(len(paths_within(column))):
        path = paths_within(column)[at]
        new = new_values(kind, len(leaf(array, path)), nullable=path.nullable)
        array = with_leaf(array, path, new)
        column = column.with_type(array.type)
    for chunk in chunks(array):
        for buffer in buffers(chunk):
            assert SECRET not in bytes(buffer)
            assert not buffer.size or buffer.address not in old


@given(columns())
def test_fields_keep_their_names_nullability_and_metadata(made: tuple[pa.Field, Any]) -> None:
    column, array = made
    for path in paths_within(column):
        same = with_leaf(array, path, leaf(array, path)).type
        if "{keys}" in path.text:
            continue
        assert same.equals(column.type, check_metadata=True)


@given(columns())
def test_every_path_is_found_by_its_text(made: tuple[pa.Field, Any]) -> None:
    schema = pa.schema([made[0]])
    paths = paths_of(schema)
    assert len({path.text for path in paths}) == len(paths)
    for path in paths:
        assert resolve(schema, path.text) == path
        assert pickle.loads(pickle.dumps(path)) == path


NAMES = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("a.b", pa.string()),
        pa.field(
            "a", pa.struct([pa.field("b", pa.string()), pa.field("c", pa.list_(pa.date32()))])
        ),
        pa.field(
            "dotted", pa.struct([pa.field("a.b[]{}\\", pa.string()), pa.field("", pa.int8())])
        ),
        pa.field("of.struct", pa.struct([pa.field("x", pa.string())])),
        pa.field("items", pa.large_list(pa.struct([pa.field("email", pa.string())]))),
        pa.field("matrix", pa.list_(pa.list_view(pa.float64()), 2)),
        pa.field("labels", pa.map_(pa.string(), pa.map_(pa.int8(), pa.struct([("x", pa.int8())])))),
        pa.field("empty", pa.struct([])),
        pa.field("word", pa.dictionary(pa.int8(), pa.string())),
        pa.field("key", pa.uuid()),
        pa.field("union", pa.dense_union([pa.field("x", pa.string())])),
    ]
)


def test_paths_name_what_is_inside_in_the_order_of_the_schema() -> None:
    assert [path.text for path in paths_of(NAMES)] == [
        "id",
        "a.b",
        ".a.b",
        "a.c[]",
        r"dotted.a\.b\[]\{}\\",
        "dotted.",
        r"of\.struct.x",
        "items[].email",
        "matrix[][]",
        "labels{keys}",
        "labels{}{keys}",
        "labels{}{}.x",
        "empty",
        "word",
        "key",
        "union",
    ]


def test_what_holds_a_path_is_named_from_the_outermost_on() -> None:
    holders = {path.text: holders_of(path) for path in paths_of(NAMES) if path.children}
    assert holders == {
        ".a.b": ("a",),
        "a.c[]": ("a", "a.c"),
        r"dotted.a\.b\[]\{}\\": ("dotted",),
        "dotted.": ("dotted",),
        r"of\.struct.x": ("of.struct",),
        "items[].email": ("items", "items[]"),
        "matrix[][]": ("matrix", "matrix[]"),
        "labels{keys}": ("labels",),
        "labels{}{keys}": ("labels", "labels{}"),
        "labels{}{}.x": ("labels", "labels{}", "labels{}{}"),
    }
    assert holders_of(Path("id", "id", pa.int64())) == ()


def test_the_column_of_a_path_is_told_by_its_text() -> None:
    for path in paths_of(NAMES):
        if path.children:
            assert column_of(path.text) == path.column


def test_a_column_wins_over_the_path_that_its_name_reads_like() -> None:
    column, inside = resolve(NAMES, "a.b"), resolve(NAMES, ".a.b")
    assert column
    assert inside
    assert (column.column, column.children) == ("a.b", ())
    assert (inside.column, inside.children) == ("a", (0,))
    without = pa.schema([NAMES.field("a")])
    assert resolve(without, "a.b") == Path("a.b", "a", pa.string(), children=(0,))
    assert resolve(without, ".a.b") is None


@pytest.mark.parametrize(
    "text",
    ["", "idd", "a", "items", "items[]", "items.email", "labels{}", "id.x", "word[]", "key.x"],
)
def test_what_names_no_values_is_not_found(text: str) -> None:
    assert resolve(NAMES, text) is None


@pytest.mark.parametrize(
    "kind",
    [
        pa.sparse_union([pa.field("name", pa.string())]),
        pa.dense_union([pa.field("name", pa.string())]),
        pa.dictionary(pa.int8(), pa.struct([pa.field("name", pa.string())])),
        pa.run_end_encoded(pa.int32(), pa.struct([pa.field("name", pa.string())])),
        pa.fixed_shape_tensor(pa.int8(), [2]),
    ],
)
def test_a_path_into_a_type_that_has_none_is_refused(kind: pa.DataType) -> None:
    schema = pa.schema([("x", pa.list_(kind))])
    assert [path.text for path in paths_of(schema)] == ["x[]"]
    with pytest.raises(PseudonymizationError, match=r"of 'x\[\]' can be .* 'x\[\]\.name'"):
        resolve(schema, "x[].name")


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (pa.schema([("a", pa.string()), ("a", pa.int8())]), "a"),
        (pa.schema([("a", pa.struct([("b", pa.string()), ("b", pa.int8())]))]), "a.b"),
        (pa.schema([(".a.b", pa.int8()), ("a.b", pa.int8()), NAMES.field("a")]), ".a.b"),
    ],
)
def test_a_path_that_names_two_columns_is_refused(schema: pa.Schema, text: str) -> None:
    with pytest.raises(PseudonymizationError, match="has 2 columns or fields"):
        resolve(schema, text)


def only_path(array: Any) -> Path:
    (path,) = paths_within(pa.field("x", array.type))
    return path


def test_values_beside_a_replaced_one_are_shared() -> None:
    array = pa.array([[{"a": "x", "b": "kept"}], None, [], [{"a": None, "b": "too"}, None]])
    path = resolve(pa.schema([("x", array.type)]), "x[].a")
    assert path
    result = with_leaf(array.slice(1), path, pa.array([7]))
    assert result.to_pylist() == [None, [], [{"a": 7, "b": "too"}, None]]
    assert result.values.field(1).equals(array.values.field(1).slice(1))
    kept, before = (x.values.field(1).buffers()[2].address for x in (result, array))
    assert kept == before


def test_the_values_are_not_copied_if_they_are_together() -> None:
    array = pa.array([["a", "b"], None, [], ["c"]]).slice(1)
    values = leaf(array, only_path(array))
    assert values.to_pylist() == ["c"]
    assert values.buffers()[2].address == array.values.buffers()[2].address


def test_an_empty_list_elsewhere_does_not_part_the_values() -> None:
    layout = [pa.py_buffer(np.array(part, np.int32)) for part in ([0, 2, 1], [1, 0, 2])]
    kind, child = pa.list_view(pa.string()), pa.array(["a", "b", "c"])
    array = pa.Array.from_buffers(kind, 3, [None, *layout], children=[child])
    values = leaf(array, only_path(array))
    assert values.to_pylist() == ["a", "b", "c"]
    assert values.buffers()[2].address == child.buffers()[2].address


def test_a_value_that_two_views_share_is_replaced_in_each() -> None:
    kind = pa.list_view(pa.string())
    layout = [pa.py_buffer(np.array(part, np.int32)) for part in ([1, 0], [2, 2])]
    array = pa.Array.from_buffers(kind, 2, [None, *layout], children=[pa.array(["a", "b", "c"])])
    assert leaf(array, only_path(array)).to_pylist() == ["b", "c", "a", "b"]
    result = with_leaf(array, only_path(array), pa.array([1, 2, 3, 4]))
    result.validate(full=True)
    assert result.to_pylist() == [[1, 2], [3, 4]]


def test_views_of_more_elements_than_their_type_counts_are_refused() -> None:
    sizes = pa.py_buffer(np.full(1 << 12, 1 << 20, np.int32))
    starts = pa.py_buffer(np.zeros(1 << 12, np.int32))
    kind, child = pa.list_view(pa.null()), pa.nulls(1 << 20)
    array = pa.Array.from_buffers(kind, 1 << 12, [None, starts, sizes], children=[child])
    with pytest.raises(PseudonymizationError, match="do not fit the Arrow type list_view"):
        leaf(array, only_path(array))


@pytest.mark.parametrize("kind", [*NEW, pa.binary(), pa.decimal128(5, 2), pa.uuid()])
def test_parquet_takes_a_field_that_may_not_be_null_in_a_struct_that_is(kind: pa.DataType) -> None:
    fields = [pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.string())]
    array = pa.array([{"a": 1, "b": "x"}, None, {"a": 3, "b": "y"}], pa.struct(fields))
    path = paths_within(pa.field("x", array.type))[0]
    new = pa.array([b"%016d" % number for number in range(2)], pa.binary(16))
    if kind == pa.uuid():
        new = pa.ExtensionArray.from_storage(kind, new)
    elif kind in (pa.binary(), pa.decimal128(5, 2)):
        new = new.cast(kind) if kind == pa.binary() else pa.array([1, 2], pa.int8()).cast(kind)
    else:
        new = new_values(kind, 2, nullable=False)
    for replaced in (new, new.slice(0, 0)):
        part = array if len(replaced) else array.slice(1, 1)
        result = with_leaf(part, path, replaced)
        result.validate(full=True)
        assert not result.field(0).null_count
        if kind != pa.string_view():  # older versions do not write them
            pq.write_table(pa.table({"x": result}), pa.BufferOutputStream())


@pytest.mark.parametrize(
    "kind", [pa.map_(pa.string(), pa.int8()), pa.map_(pa.string(), pa.int8(), True)]
)
def test_the_keys_of_a_map_can_be_replaced_and_are_not_sorted_then(kind: pa.DataType) -> None:
    array = pa.array([[("a", 1), ("b", None)], None, [("c", 3)]], kind)
    keys, items = paths_within(pa.field("x", kind))
    result = with_leaf(array, keys, pa.array(["z", "y", "x"]))
    assert result.to_pylist() == [[("z", 1), ("y", None)], None, [("x", 3)]]
    assert not result.type.keys_sorted
    assert with_leaf(array, items, pa.nulls(3, pa.int8())).type == kind
    with pytest.raises(PseudonymizationError, match=r"'x\{keys\}' may not be null, .* and 1 new"):
        with_leaf(array, keys, pa.array(["z", None, "x"]))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_values_is_refused(count: int) -> None:
    array = pa.chunked_array([[{"a": "x"}, None], [{"a": "y"}]])
    with pytest.raises(PseudonymizationError, match=rf"'x.a' has 2 values, and {count} new"):
        with_leaf(array, only_path(array), pa.array(["new"] * count, pa.string()))


def test_a_column_without_parents_is_its_own_leaf() -> None:
    array = pa.chunked_array([["a"], [None, "c"]])
    path = only_path(array)
    assert leaf(array, path) is array
    assert rows_of_leaf(array, path).tolist() == [0, 1, 2]
    assert with_leaf(array, path, pa.array([1, None, 3])).chunks == [
        pa.array([1]),
        pa.array([None, 3]),
    ]


NUMBER = pa.struct([("n", pa.int64())])
BESIDE = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("p", pa.struct([("name", pa.string()), ("day", NUMBER)])),
        pa.field("q", pa.list_(pa.struct([("x", pa.string()), ("y", NUMBER)]))),
        pa.field("m", pa.map_(pa.string(), pa.struct([("v", pa.int8())]))),
    ]
)
ROWS = [
    {"id": 1, "p": None, "q": [{"x": "a", "y": None}, None], "m": [("k", None), ("l", {"v": 2})]},
    {"id": None, "p": {"name": "n", "day": None}, "q": None, "m": None},
    {"id": 3, "p": {"name": None, "day": {"n": 5}}, "q": [{"x": "c", "y": {"n": 7}}], "m": []},
]


@pytest.mark.parametrize("cuts", [[3], [1, 2], [2, 0, 1]])
@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        ("id", "p.name", [None, "n", None]),
        ("p.name", "id", [None, 3]),
        ("p.name", "p.day.n", [None, 5]),
        ("p.day.n", "p.name", [None]),
        ("q[].x", "q[].y.n", [None, 7]),
        ("q[].y.n", "q[].x", ["c"]),
        ("m{}.v", "m{keys}", ["l"]),
        ("m{keys}", "m{}.v", [None, 2]),
    ],
)
def test_values_stand_beside_those_of_the_same_list_or_row(
    text: str, other: str, expected: list[Any], cuts: list[int]
) -> None:
    table = pa.Table.from_pylist(ROWS, BESIDE)
    path, beside = resolve(BESIDE, text), resolve(BESIDE, other)
    assert path
    assert beside
    ends = np.cumsum(cuts).tolist()
    pieces = [table[path.column].slice(end - cut, cut) for end, cut in zip(ends, cuts, strict=True)]
    array = pa.chunked_array([piece.combine_chunks() for piece in pieces])
    found = leaf_beside(array, path, table[beside.column], beside)
    assert found.to_pylist() == expected
    assert list(map(len, found.chunks)) == list(map(len, leaf(array, path).chunks))


@pytest.mark.parametrize(
    ("text", "other"), [("id", "q[].x"), ("q[].x", "id"), ("q[].x", "m{}.v"), ("m{keys}", "p.name")]
)
def test_values_of_other_lists_stand_beside_none(text: str, other: str) -> None:
    table = pa.Table.from_pylist(ROWS, BESIDE)
    path, beside = resolve(BESIDE, text), resolve(BESIDE, other)
    assert path
    assert beside
    with pytest.raises(PseudonymizationError, match="does not have one value for each value of"):
        leaf_beside(table[path.column], path, table[beside.column], beside)


def test_neither_pandas_nor_polars_is_imported() -> None:
    code = """
import sys
import numpy as np
import pyarrow as pa
from secureml.frames import leaves, paths
words = pa.Array.from_buffers(pa.int32(), 3, [pa.py_buffer(b"\\x05"), pa.py_buffer(bytes(12))])
column = pa.Array.from_buffers(
    pa.struct([("a", pa.int32())]), 3, [pa.py_buffer(b"\\x06")], children=[words]
)
lists = pa.Array.from_buffers(
    pa.list_(column.type), 2, [None, pa.py_buffer(np.array([0, 1, 3], np.int32))], children=[column]
)
(path,) = paths.paths_of(pa.schema([("x", lists.type)]))
values = leaves.leaf(pa.chunked_array([lists]), path)
leaves.with_leaf(pa.chunked_array([lists]), path, values)
leaves.rows_of_leaf(lists, path)
leaves.leaf_beside(lists, path, lists, path)
assert not {"pandas", "polars"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
