"""What every kind of table has to keep: a class of tests that each kind inherits.

A subclass tells how a table of Arrow's becomes one of its kind, and how one is read back. Nothing
here takes pandas, so that the kinds of engines and of other libraries inherit it too.
"""

from __future__ import annotations

import contextlib
import io
import json
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import feather, parquet

from helpers.memory import buffers, spellings
from secureml import anonymize, merge_manifests, reidentify, rekey
from secureml.errors import (
    DomainTooSmallError,
    InvalidValueError,
    ManifestError,
    PseudonymizationError,
    UncheckedTableWarning,
)
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

__all__ = [
    "SHAPES",
    "FrameContract",
    "differing",
    "manager_of",
    "mixed_table",
    "plain",
    "shared_manager",
]

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("manifest_*.json"))
KEYS = ["5a" * 32, "c3" * 32, "0f" * 32]
START = datetime(1961, 7, 30, 4, 53, 11)
ROWS = 12
TYPES_BEFORE = {"Int64": pa.int64(), "category": pa.dictionary(pa.int8(), pa.string())}
TYPES_BEFORE |= {"int64": pa.int64(), "datetime64[us]": pa.timestamp("us")}
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
FLOATS = {"float32 with a scale": 2, "float64 with a scale": 2}

CASES: dict[str, dict[str, Any]] = {
    "fpe, small domains permuted": {"small_domain": "permute"},
    "fpe, small domains by token": {"small_domain": "token"},
    "fpe, small domains lost": {"small_domain": "null"},
    "token": {"strategy": "token"},
    "hash": {"strategy": "hash"},
    "mask": {"strategy": "mask"},
    "redact": {"strategy": "redact"},
    "null": {"strategy": "null"},
}
REVERSIBLE = [name for name in CASES if name.startswith(("fpe", "token")) and "lost" not in name]


def manager_of(keys: Sequence[str] = KEYS, environment: str = "development") -> KeyManager:
    """Return a manager of a key that has these versions."""
    store = MemoryStore()
    for key in keys:
        store.write("master_key", {"value": key, "encoding": "hex"}, cas=None)
    return KeyManager(environment=environment, store=store)


shared_manager = cache(manager_of)


def arrow_columns(rows: int = ROWS) -> dict[str, pa.Array]:
    """Return a column of each of Arrow's types for text, numbers and time, without nulls."""
    texts = [f"Margarethe-Żiżek-{row:05}" for row in range(rows)]
    moments = [START + timedelta(days=row, seconds=61 * row) for row in range(rows)]
    columns = {name: pa.array(texts).cast(name) for name in ("string", "large_string")}
    columns["string_view"] = pa.array(texts).cast(pa.string_view())
    for name in INTEGERS:
        width = getattr(pa, name)()
        highest = min(2 ** (width.bit_width - 1) - 7, 7_306_639_911_244_237)
        columns[name] = pa.array([highest - row for row in range(rows)], width)
        codes = pa.array([row % 5 for row in range(rows)], width)
        columns[f"dictionary of {name}"] = pa.DictionaryArray.from_arrays(codes, texts[:6])
    whole = [9_030_593 - row for row in range(rows)]
    columns["float32"] = pa.array(whole, pa.float32())
    columns["float64"] = pa.array([float(one << 22) for one in whole])
    columns["float32 with a scale"] = pa.array([one / 1024 // 1 + 0.25 for one in whole], "float32")
    columns["float64 with a scale"] = pa.array([one * 1000 + 0.25 for one in whole])
    for name, digits in (("decimal32", 9), ("decimal64", 18), ("decimal128", 30)):
        if hasattr(pa, name):
            money = [Decimal(one).scaleb(-2) for one in whole]
            columns[name] = pa.array(money, getattr(pa, name)(digits, 2))
    columns["decimal256"] = pa.array(money, pa.decimal256(60, 2))
    columns["date32"] = pa.array([moment.date() for moment in moments])
    columns["date64"] = columns["date32"].cast(pa.date64())
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "UTC", "Europe/Berlin"):
            name = f"timestamp of {unit}, {zone}"
            plain_moments = pa.array(moments).cast(pa.timestamp(unit))
            columns[name] = plain_moments.cast(pa.timestamp(unit, zone))
    return columns


def nulled(array: pa.Array, nulls: list[int]) -> pa.Array:
    """Return an array with nulls, under which the values still lie."""
    if pa.types.is_dictionary(array.type):
        return pa.DictionaryArray.from_arrays(nulled(array.indices, nulls), array.dictionary)
    if array.type == pa.string_view():  # which pyarrow 18 makes of no buffers
        return nulled(array.cast(pa.large_string()), nulls).cast(pa.string_view())
    present = np.ones(len(array), np.bool_)
    present[nulls] = False
    bits = pa.py_buffer(np.packbits(present, bitorder="little"))
    return pa.Array.from_buffers(array.type, len(array), [bits, *array.buffers()[1:]])


@cache
def mixed_table() -> pa.Table:
    """Return a slice of a table of all types, with nulls that have values under them."""
    arrays = {name: nulled(array, [3, 7]) for name, array in arrow_columns(ROWS + 4).items()}
    return pa.table(arrays).slice(2, ROWS)


def plain(array: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return values as they compare in all kinds: NaN as null, times by their count of ns."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # before pyarrow 21, of no chunks
        array = pa.concat_arrays(array.chunks) if array.chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_date64(array.type):
        array = array.cast(pa.date32())
    if pa.types.is_timestamp(array.type):
        per_unit = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}[array.type.unit]
        counts = array.cast(pa.int64()).to_pylist()
        return [None if count is None else count * per_unit for count in counts]
    return [None if value != value else value for value in array.to_pylist()]


def differing(left: pa.Table, right: pa.Table) -> list[str]:
    """Return the columns in which two tables have other values."""
    assert left.column_names == right.column_names
    return [name for name in left.column_names if plain(left[name]) != plain(right[name])]


def same_bits(left: pa.Table, right: pa.Table, names: list[str]) -> list[str]:
    """Return the columns that are not equal bit for bit."""

    def bits(column: pa.ChunkedArray) -> Any:
        array = pa.concat_arrays(column.chunks) if column.num_chunks else column
        floats = {pa.float32(): pa.int32(), pa.float64(): pa.int64()}
        return array.view(floats[array.type]) if array.type in floats else array

    return [
        name
        for name in names
        if left.schema.field(name).type != right.schema.field(name).type
        or not bits(left[name]).equals(bits(right[name]))
    ]


def counts(document: dict[str, Any]) -> dict[str, list[int]]:
    """Return what a manifest counts in each column."""
    counted = ("rows", "nulls", "empty", "tokens", "nulled")
    return {name: [one[what] for what in counted] for name, one in document["columns"].items()}


def without_types(document: dict[str, Any]) -> dict[str, Any]:
    """Return an opened manifest without the names that one kind gives the types of columns."""
    made = deepcopy(document)
    for column in made["columns"].values():
        for name in ("dtype", "arrow", "tweak_arrow"):
            column.pop(name, None)
    return made


def golden_table(part: dict[str, Any], dtypes: Mapping[str, str]) -> pa.Table:
    """Return a table of a golden file."""
    arrays = {}
    for place, name in enumerate(part["columns"]):
        values = [row[place] for row in part["data"]]
        arrow_type = TYPES_BEFORE.get(dtypes[name], pa.string())
        if pa.types.is_timestamp(arrow_type):
            values = [value and datetime.fromisoformat(value) for value in values]
        if pa.types.is_dictionary(arrow_type):
            arrays[name] = pa.array(values, pa.string()).dictionary_encode().cast(arrow_type)
        else:
            arrays[name] = pa.array(values, arrow_type)
    return pa.table(arrays)


WITHOUT_PANDAS = """
import sys
from importlib.abc import MetaPathFinder

tried = []

class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "pandas":
            tried.append(name)
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import pyarrow as pa
from secureml import KeyManager, anonymize, reidentify, rekey
from secureml.stores import MemoryStore

given, result = sys.argv[1:]
with pa.OSFile(given) as file:
    table = pa.ipc.open_stream(file).read_all()
names = [name for name in table.column_names if name != "stays"]
scales = [name for name in names if "scale" in name]
store = MemoryStore()
for key in ("5a" * 32, "c3" * 32):
    store.write("master_key", {"value": key, "encoding": "hex"}, cas=None)
manager = KeyManager(environment="development", store=store)
arguments = {"sensitive_columns": names, "small_domain": "token", "master_key_version": 1}
arguments |= {"formats": dict.fromkeys(scales, "decimal"), "tweaks": {"string": "stays"}}
arguments |= {"options": {name: {"scale": 2} for name in scales}}
MAKE
tried.clear()
frame, document = anonymize(frame, return_manifest=True, key_manager=manager, **arguments)
if AGAIN:
    frame, document = rekey(frame, manifest=document, return_manifest=True, key_manager=manager)
frame = reidentify(frame, document, key_manager=manager)
READ
print(tried)
with pa.OSFile(result, "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
    writer.write_table(table)
"""


def shapes() -> dict[str, pa.Table]:
    """Return tables of few columns, of odd numbers of rows and in odd pieces."""

    def table(rows: int, nulls: list[int]) -> pa.Table:
        moments = [START + timedelta(seconds=row) for row in range(rows)]
        arrays = {
            "text": pa.array([f"{row:09}" for row in range(rows)], pa.string()),
            "number": pa.array(range(10**9, 10**9 + rows), pa.int64()),
            "moment": pa.array(moments, pa.timestamp("us")),
            "stays": pa.array([row / 3 for row in range(rows)], pa.float64()),
        }
        return pa.table({name: nulled(array, nulls) for name, array in arrays.items()})

    some = table(50, [0, 7, 8, 49])
    blank = pa.array(["", None, "", "0123456789"])
    pieces = [some.slice(0, 0), some.slice(0, 1), some.slice(1, 30), some.slice(0, 0)]
    return {
        "no rows": table(0, []),
        "one row": table(1, []),
        "one row of nulls": table(1, [0]),
        "nulls alone": table(9, list(range(9))),
        "empty strings": some.slice(0, 4).set_column(0, "text", blank),
        "a slice with an offset": some.slice(5, 37),
        "uneven chunks": pa.concat_tables([*pieces, some.slice(31), some.slice(50)]),
        "2^16 + 1 rows": pa.concat_tables([table(40_000, [3, 39_999]), table(25_537, [])]),
    }


SHAPES = shapes()
REPLACED = ["text", "number", "moment"]

_WORDS = pa.array(["Ärger-0001", "Bordeaux-2", "Bordeaux-2", None, "Žižek-0004", "never-held"])
DICTIONARIES = {
    "unused entries": pa.DictionaryArray.from_arrays(
        pa.array([5, 0, 0], "int8"), _WORDS.take([0, 1, 2, 2, 2, 4])
    ),
    "entries twice": pa.DictionaryArray.from_arrays(pa.array([2, 1, 0, None]), _WORDS),
    "a null among the entries": pa.DictionaryArray.from_arrays(pa.array([3, None, 0, 4]), _WORDS),
    "nothing but nulls": pa.DictionaryArray.from_arrays(pa.array([3, None], "int32"), _WORDS),
}

NAMES = ["a b", "Größe", "1", "x.y", "class", 'a"b', "items[]", "tags{}", "a\\nb", "__a__", ""]


ACROSS = ["string", "large_string", "string_view", "dictionary of int8", "int16", "uint64"]
ACROSS += ["float64", "decimal128", "date32", "date64", "timestamp of s, None"]
ACROSS += ["timestamp of us, Europe/Berlin", "timestamp of ns, UTC"]


def without_views(table: pa.Table) -> pa.Table:
    """Return a table without views, of which pyarrow 18 writes none to files."""
    for place, field in enumerate(table.schema):
        if field.type == pa.string_view():
            wide = table[field.name].cast(pa.large_string())
            table = table.set_column(place, field.name, wide)
    return table


def through_parquet(table: pa.Table) -> pa.Table:
    """Return a table as a file of Parquet has it."""
    file = io.BytesIO()
    parquet.write_table(without_views(table), file)
    return parquet.read_table(file)


def through_stream(table: pa.Table) -> pa.Table:
    """Return a table as a stream of Arrow's has it."""
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(file.getvalue()).read_all()


MADE: dict[tuple[type, str], tuple[Any, dict[str, Any]]] = {}


class FrameContract(ABC):
    """The tests of one kind of table.

    Attributes:
        carries: whether a table of the kind carries its manifest.
        streams: whether results are made when they are read, so that manifests lack counts.
        again: whether a table can be read twice.
        twice: whether two columns can have one name.
        nameless: whether the name of a column can be empty.
        typed: whether a column without rows keeps its type, and a table without rows its columns.
        one_type: whether a column has the same type with and without nulls.
        pickles: whether a table can be pickled with its rows.
        shares: whether columns that stay share their buffers with the input.
        alone: statements that make ``frame`` of ``table``, and others that make ``table`` of
            ``frame``, in a process without pandas; None for a kind that takes pandas.
        column_type: what a function in place of a strategy gets and returns.
        result_type: what comes back; None for the type of the input.
    """

    carries = True
    streams = False
    again = True
    twice = True
    nameless = True
    typed = True
    one_type = True
    pickles = True
    shares = False
    alone: tuple[str, str] | None = None
    column_type: type | tuple[type, ...] = pa.ChunkedArray
    result_type: type | None = None

    all_kinds: ClassVar[list[type[FrameContract]]] = []

    def __init_subclass__(cls) -> None:
        if cls.__name__.startswith("Test"):
            cls.all_kinds.append(cls)

    @abstractmethod
    def make(self, table: pa.Table) -> Any:
        """Return an Arrow table as one of the kind."""

    @abstractmethod
    def read(self, frame: Any) -> pa.Table:
        """Return a table of the kind as one of Arrow's."""

    def has(self, arrow_type: pa.DataType, nulls: bool) -> bool:
        """Tell whether a column of the kind can hold values of a type exactly."""
        return True

    def upper(self, column: Any) -> Any:
        """Return a column of the kind with its text in upper case."""
        return pc.utf8_upper(column)

    def types(self, frame: Any) -> list[Any]:
        """Return the types of the columns, by the kind's own names."""
        return list(self.read(frame).schema.types)

    def memory(self, frame: Any, names: list[str]) -> Iterator[bytes]:
        """Return all memory that columns keep alive."""
        table = self.read(frame)
        for name in names:
            yield from buffers(table[name])

    def written(self, frame: Any) -> Iterator[bytes]:
        """Return what is written of a table, not compressed."""
        table = self.read(frame)
        yield pickle.dumps(table)
        if self.pickles:
            yield pickle.dumps(frame)
        table = without_views(table)
        for write, none in ((feather.write_feather, "uncompressed"), (parquet.write_table, "none")):
            file = io.BytesIO()
            write(table, file, compression=none)
            yield file.getvalue()

    def attached(self, frame: Any) -> Any:
        """Return the manifest that a table carries, or None."""
        return None

    def unchecked(self) -> contextlib.AbstractContextManager[Any]:
        """Expect what recovery warns of if manifests lack counts and sketches."""
        return pytest.warns(UncheckedTableWarning) if self.streams else contextlib.nullcontext()

    def raised(self, kind: type[Exception], match: str) -> contextlib.AbstractContextManager[Any]:
        """Expect an error of the work on rows."""
        return pytest.raises(kind, match=match)

    # What the tests share.

    @pytest.fixture
    def manager(self) -> KeyManager:
        """A manager of one key with three versions, the same for all tests."""
        return shared_manager()

    def fitting(self, table: pa.Table) -> pa.Table:
        """Return those columns of a table that the kind can have, text of others as strings."""
        for place, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type) and not self.has(field.type, nulls=True):
                table = table.set_column(place, field.name, table[field.name].cast(pa.string()))
        names = [
            field.name
            for field in table.schema
            if self.has(field.type, bool(table[field.name].null_count))
        ]
        return table.select(names)

    def hidden(self, table: pa.Table, **arguments: Any) -> tuple[pa.Table, dict[str, Any]]:
        """Return what becomes of a table in this kind, and its manifest."""
        frame, document = anonymize(self.make(table), return_manifest=True, **arguments)
        return self.read(frame), document

    def recovered(self, frame: Any, document: Any, **arguments: Any) -> Any:
        """Return what a table was."""
        with self.unchecked():
            return reidentify(frame, document, **arguments)

    def mixed(self, case: str) -> tuple[pa.Table, dict[str, Any]]:
        """Return the table of all types that the kind can have, and the arguments of a case."""
        table = self.fitting(mixed_table())
        arguments = dict(CASES[case])
        scales = [name for name in FLOATS if name in table.column_names]
        if case.startswith("fpe"):
            arguments |= {"formats": dict.fromkeys(scales, "decimal")}
            arguments |= {"options": {name: {"scale": FLOATS[name]} for name in scales}}
        elif case not in ("redact", "null"):
            table = table.drop_columns(scales)
        arguments["domains"] = dict.fromkeys(table.column_names, "one")
        return table, arguments | {"sensitive_columns": table.column_names}

    def made(self, case: str) -> tuple[Any, dict[str, Any]]:
        """Return what becomes of the table of all types, made once if it can be read again."""
        key = type(self), case
        if key not in MADE or not self.again:
            table, arguments = self.mixed(case)
            arguments |= {"return_manifest": True, "key_manager": shared_manager()}
            MADE[key] = anonymize(self.make(table), **arguments)
        return MADE[key]

    # The same as of every other kind.

    @pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
    def test_golden_files_are_made_again_alike(self, path: Path, opened: Any) -> None:
        golden = json.loads(path.read_text("utf-8"))
        manager = manager_of(golden["keys"], golden["environment"])
        before = self.fitting(golden_table(golden["before"], golden["before_dtypes"]))
        start, tables, documents = 0, [], []
        for version, rows in golden["parts"]:
            table, document = self.hidden(
                before.slice(start, rows),
                master_key_version=version,
                key_manager=manager,
                **golden["arguments"],
            )
            start += rows
            tables.append(table)
            documents.append(document)
        after = golden_table(golden["after"], golden["dtypes"])
        for name in after.column_names:
            values = [value for table in tables for value in plain(table[name])]
            assert values == plain(after[name]), name
        mergeable = self.one_type or len(documents) == 1
        if golden["manifest"]["schema"] == 3 and mergeable and not self.streams:
            merged = merge_manifests(documents, key_manager=manager)
            expected = without_types(opened(golden["manifest"], manager))
            assert without_types(opened(merged, manager)) == expected

    @pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
    @pytest.mark.filterwarnings("ignore::secureml.errors.UncheckedVersionWarning")
    def test_golden_files_come_back(self, path: Path) -> None:
        golden = json.loads(path.read_text("utf-8"))
        manager = manager_of(golden["keys"], golden["environment"])
        frame = self.make(self.fitting(golden_table(golden["after"], golden["dtypes"])))
        back = self.read(reidentify(frame, golden["manifest"], key_manager=manager))
        before = golden_table(golden["before"], golden["before_dtypes"])
        for name in before.column_names:
            form = golden["manifest"]["columns"].get(name, {}).get("normalize")
            expected = plain(before[name])
            if form and pa.types.is_string(before[name].type):
                expected = [text and normalize(form, text) for text in expected]
            assert plain(back[name]) == expected, name

    @pytest.mark.parametrize("case", CASES)
    def test_pseudonyms_are_those_of_an_arrow_table(self, case: str, manager: KeyManager) -> None:
        table, arguments = self.mixed(case)
        given = self.read(self.make(table))
        assert not differing(given, table)
        frame, document = self.made(case)
        made = self.read(frame)
        expected, of_arrow = anonymize(
            given, return_manifest=True, key_manager=manager, **arguments
        )
        assert not differing(made, expected)
        if not self.streams:
            assert counts(document) == counts(of_arrow)

    @pytest.mark.parametrize("case", REVERSIBLE)
    def test_every_type_comes_back(self, case: str, manager: KeyManager) -> None:
        table, _ = self.mixed(case)
        given = self.make(table)
        types = self.types(given)
        frame, document = self.made(case)
        back = self.recovered(frame, document, key_manager=manager)
        assert isinstance(back, self.result_type or type(given))
        assert self.types(back) == types
        assert not differing(self.read(back), table)

    def test_another_version_of_the_key_and_back(self, manager: KeyManager) -> None:
        table, arguments = self.mixed("fpe, small domains by token")
        table = table.select([name for name in table.column_names if name not in FLOATS][::5])
        arguments = {"small_domain": "token", "sensitive_columns": table.column_names}
        arguments |= {"key_manager": manager, "return_manifest": True}
        second, document = anonymize(self.make(table), master_key_version=2, **arguments)
        moves = {"return_manifest": True, "key_manager": manager}
        with self.unchecked():
            third, moved = rekey(second, manifest=document, to_version=3, **moves)
        expected, _ = anonymize(self.make(table), master_key_version=3, **arguments)
        assert not differing(self.read(third), self.read(expected))
        if self.again:
            with self.unchecked():
                back, _ = rekey(third, manifest=moved, to_version=2, **moves)
            assert not differing(self.read(back), self.read(second))

    def test_every_kind_recovers_what_this_one_hid(self, manager: KeyManager) -> None:
        """Carried as Parquet and as a stream of Arrow's, with the manifest of this kind."""
        for target in (kind() for kind in self.all_kinds):
            table = self.fitting(target.fitting(mixed_table().select(ACROSS)))
            hidden, document = self.hidden(
                table,
                sensitive_columns=table.column_names,
                small_domain="token",
                key_manager=manager,
            )
            for carried in (through_parquet(hidden), through_stream(hidden)):
                frame = target.make(target.fitting(carried))
                with self.unchecked():
                    back = reidentify(frame, document, key_manager=manager)
                assert not differing(target.read(back), table), target

    # Shapes of tables.

    def test_numbers_that_are_none_stay_so_whether_they_are_read_or_not(
        self, manager: KeyManager
    ) -> None:
        """A strategy that looks at no value takes columns that can't be read."""
        nan = float("nan")
        table = pa.table({"whole": [1e9, nan, None], "broken": [1.5e9 + 0.5, nan, None]})
        made, _ = self.hidden(
            table, strategy="redact", sensitive_columns=["whole", "broken"], key_manager=manager
        )
        assert plain(made["whole"])[1:] == [None, None]
        assert plain(made["broken"])[1:] == [None, None]

    @pytest.mark.parametrize("shape", SHAPES)
    def test_tables_of_any_shape(self, shape: str, manager: KeyManager) -> None:
        table = SHAPES[shape]
        if not (self.typed or len(table)):
            pytest.skip("a table without rows has no columns or types")
        arguments = {"sensitive_columns": REPLACED, "key_manager": manager}
        made, document = self.hidden(table, **arguments)
        assert not differing(made, anonymize(table, **arguments))
        frame = anonymize(self.make(table), **arguments)
        back = self.recovered(frame, document, key_manager=manager)
        if self.typed:
            assert self.types(back) == self.types(self.make(table))
        assert not differing(self.read(back), table)

    @pytest.mark.parametrize("name", DICTIONARIES)
    def test_dictionaries_with_odd_entries(self, name: str, manager: KeyManager) -> None:
        array = DICTIONARIES[name]
        flat = pa.table({"x": array.cast(pa.string())})
        table = self.fitting(pa.table({"x": array}))
        arguments = {"sensitive_columns": ["x"], "small_domain": "token", "key_manager": manager}
        made, document = self.hidden(table, **arguments)
        assert plain(made["x"]) == plain(anonymize(flat, **arguments)["x"])
        frame = anonymize(self.make(table), **arguments)
        for chunk in made["x"].chunks:
            if pa.types.is_dictionary(chunk.type):
                held = chunk.dictionary.to_pylist()
                own, whole = ({*plain(column)} - {None} for column in (chunk, made["x"]))
                assert own <= set(held) <= whole
                assert held == sorted(held)
        back = self.recovered(frame, document, key_manager=manager)
        assert plain(self.read(back)["x"]) == plain(flat["x"])

    def test_names_of_any_kind_and_their_order(self, manager: KeyManager) -> None:
        names = NAMES if self.nameless else NAMES[:-1]
        arrays = [pa.array([f"{place:04}-56789", None]) for place in range(len(names))]
        table = pa.table(arrays, names=names)
        hidden = names[::-2]
        arguments = {"sensitive_columns": hidden, "key_manager": manager}
        made, document = self.hidden(table, **arguments)
        assert made.column_names == names
        changed = differing(made, table)
        assert sorted(changed) == sorted(hidden)
        frame = anonymize(self.make(table), **arguments)
        back = self.read(self.recovered(frame, document, key_manager=manager))
        assert not differing(back, table)

    def test_two_columns_of_one_name_are_refused(self, manager: KeyManager) -> None:
        if not self.twice:
            pytest.skip("no two columns of this kind can have one name")
        table = pa.table([pa.array(["a"]), pa.array(["b"])], names=["x", "x"])
        with pytest.raises(PseudonymizationError, match="more than once: 'x'"):
            anonymize(self.make(table), sensitive_columns=["x"], key_manager=manager)

    def test_a_name_of_no_column_is_refused_with_the_nearest(self, manager: KeyManager) -> None:
        frame = self.make(SHAPES["one row"])
        with pytest.raises(PseudonymizationError, match="did you mean 'number'"):
            anonymize(frame, sensitive_columns=["numbre"], key_manager=manager)

    def test_a_column_of_another_type_is_refused_by_its_name(self, manager: KeyManager) -> None:
        frame = self.make(pa.table({"flag": [True, False], "text": ["012345678", None]}))
        with pytest.raises(PseudonymizationError, match="column 'flag'"):
            self.read(anonymize(frame, sensitive_columns=["flag"], key_manager=manager))

    def test_domains_that_are_too_small_are_refused(self, manager: KeyManager) -> None:
        frame = self.make(pa.table({"code": ["12", "345"]}))
        with self.raised(DomainTooSmallError, match="column 'code'"):
            self.read(anonymize(frame, sensitive_columns=["code"], key_manager=manager))

    @pytest.mark.parametrize("how", ["error", "token", "null"])
    def test_values_that_are_not_of_the_format(self, how: str, manager: KeyManager) -> None:
        table = pa.table({"ssn": ["219-09-9999", "not one", None]})
        arguments = {"sensitive_columns": ["ssn"], "formats": {"ssn": "ssn"}, "on_invalid": how}
        arguments |= {"key_manager": manager}
        if how == "error":
            with self.raised(InvalidValueError, match="column 'ssn'"):
                self.hidden(table, **arguments)
            return
        made, _ = self.hidden(table, **arguments)
        assert plain(made["ssn"]) == plain(anonymize(table, **arguments)["ssn"])
        assert made["ssn"].null_count == (2 if how == "null" else 1)

    def test_a_function_gets_a_column_of_the_kind(self, manager: KeyManager) -> None:
        kinds = set()

        def upper(column: Any) -> Any:
            kinds.add(isinstance(column, self.column_type))
            return self.upper(column)

        table = pa.table({"text": ["abc", None, "é"], "stays": [1, 2, 3]})
        arguments = {"sensitive_columns": ["text"], "key_manager": manager}
        made, _ = self.hidden(table, strategy=upper, **arguments)
        assert kinds == {True}
        assert plain(made["text"]) == ["ABC", None, "É"]

    # What is not to be touched, and what is not to be left.

    def test_columns_that_are_not_named_stay_bit_for_bit(self, manager: KeyManager) -> None:
        odd = [0x7FF8000000000123, 0xFFF0000000000456, 1 << 63, 0, 0x3FF0000000000000]
        floats = pa.array(odd, pa.uint64()).view(pa.float64())
        narrow = pa.array([0x7FC00123, 0xFFC00456, 1 << 31, 0, 1], pa.uint32()).view(pa.float32())
        columns = {
            "text": pa.array(["012345678", None, "", "112345678", "x 12345678"]),
            "double": nulled(floats, [3]),
            "float": narrow,
            "flag": pa.array([True, None, False, True, None]),
            "octets": pa.array([b"\xff", None, b"", b"a", b"b"]),
            "list": pa.array([[1], None, [], [2, None], [3]]),
            "struct": pa.array([{"a": "x"}, None, {"a": None}, {"a": "y"}, {"a": ""}]),
            "big": pa.array([1 << 62, None, -1, 0, 1]),
            "duration": pa.array([1, None, 2, 3, 4], pa.duration("us")),
            "time": pa.array([1, None, 2, 3, 4], pa.time64("us")),
        }
        table = self.fitting(pa.table(columns).slice(1))
        stay = table.column_names[1:]
        given = self.make(table)
        before = self.read(given) if self.again else self.read(self.make(table))
        types = self.types(given) if self.again else None
        made = anonymize(given, sensitive_columns=["text"], key_manager=manager)
        result = self.read(made)
        assert not same_bits(result, before, stay)
        if self.again:
            assert not same_bits(self.read(given), before, table.column_names)
            assert self.types(given) == types
        if self.shares:
            for name in stay:
                held = [buffer and buffer.address for buffer in result[name].chunk(0).buffers()]
                shared = [buffer and buffer.address for buffer in table[name].chunk(0).buffers()]
                assert held == shared, name

    @pytest.mark.parametrize("case", CASES)
    def test_nothing_of_what_was_is_in_the_memory_of_the_result(
        self, case: str, manager: KeyManager
    ) -> None:
        """Neither what rows held, nor what lay under nulls or outside of the slice."""
        table, _ = self.mixed(case)
        self.check_holds_nothing(table.column_names, lambda: self.made(case)[0])

    def test_a_function_leaves_nothing_under_nulls(self, manager: KeyManager) -> None:
        table = self.fitting(mixed_table().select(["string", "large_string", "string_view"]))

        def lost(column: Any) -> Any:
            return self.lost(column)

        arguments = {"sensitive_columns": table.column_names, "key_manager": manager}
        self.check_holds_nothing(
            table.column_names, lambda: anonymize(self.make(table), strategy=lost, **arguments)
        )

    def lost(self, column: Any) -> Any:
        """Return a column of the kind as nulls alone, with whatever lies under them."""
        pieces = [nulled(chunk, list(range(len(chunk)))) for chunk in column.chunks]
        return pa.chunked_array(pieces, column.type)

    def check_holds_nothing(self, names: list[str], make: Callable[[], Any]) -> None:
        """Check that no memory and no file of a table holds what the columns held."""
        sought: set[bytes] = set()
        for name, array in arrow_columns(ROWS + 4).items():
            if name in names:
                sought |= spellings(array)
        for held in self.memory(make(), names):
            assert not [one for one in sought if one in held]
        for written in self.written(make()):
            assert not [one for one in sought if one in written]

    # The manifest.

    def test_the_manifest_travels_with_the_table_or_is_returned(self, manager: KeyManager) -> None:
        table = SHAPES["a slice with an offset"]
        arguments = {"sensitive_columns": ["text"], "key_manager": manager}
        given = self.make(table)
        made, document = anonymize(given, return_manifest=True, **arguments)
        if not self.carries:
            assert self.attached(made) is None
            with pytest.raises(ManifestError, match="manifest"):
                reidentify(made, key_manager=manager)
            return
        assert self.attached(made) == document
        with self.unchecked():
            back = reidentify(made, key_manager=manager)
        assert not differing(self.read(back), table)
        assert self.attached(back) is None

    def test_further_columns_are_replaced_later(self, manager: KeyManager) -> None:
        table = SHAPES["a slice with an offset"]
        first, document = anonymize(
            self.make(table), sensitive_columns=["text"], key_manager=manager, return_manifest=True
        )
        given = None if self.carries else document
        both, document = anonymize(
            first,
            sensitive_columns=["number"],
            manifest=given,
            key_manager=manager,
            return_manifest=True,
        )
        assert list(document["columns"]) == ["text", "number"]
        back = self.recovered(both, document, key_manager=manager)
        assert not differing(self.read(back), table)

    def test_pandas_is_not_imported_and_not_needed(self, tmp_path: Path, run_python: Any) -> None:
        if self.alone is None:
            pytest.skip("tables of this kind take pandas")
        table = self.fitting(mixed_table().append_column("stays", pa.array(["t"] * ROWS)))
        with pa.ipc.new_stream(str(tmp_path / "given"), table.schema) as writer:
            writer.write_table(table)
        make, read = self.alone
        code = WITHOUT_PANDAS.replace("MAKE", make).replace("READ", read)
        code = "import warnings; warnings.simplefilter('ignore')\n" + code
        code = code.replace("AGAIN", str(self.again))
        files = [str(tmp_path / "given"), str(tmp_path / "result")]
        ran = run_python("-c", code, *files)
        assert ran.returncode == 0, ran.stderr[-2000:]
        assert ran.stdout == "[]\n"
        with pa.OSFile(files[1]) as file:
            assert not differing(pa.ipc.open_stream(file).read_all(), table)
