"""Change bytes of files that hold tables, and look for what breaks.

Each input is worked on in a process of its own, which may take a minute: Arrow ends the process
where it takes something for its own mistake.
"""

from __future__ import annotations

import datetime
import gzip
import os
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
from pyarrow import feather, parquet

from secureml import KeyManager
from secureml.errors import SecureMLError
from secureml.files import anonymize_file, key_usage, preview_file, reidentify_file, rekey_file
from secureml.files.kinds import open_table
from secureml.scanning import scan
from secureml.stores import MemoryStore

__all__ = ["FileFuzzer", "repeated", "writing"]

SECONDS = 60
_MOMENT = datetime.datetime(2026, 3, 1, 12, 34, 56)


def footer(*fields: bytes) -> bytes:
    """Return a Parquet file of the fields of a footer alone, in Thrift's compact protocol."""
    content = b"".join(fields) + b"\0"
    return b"PAR1" + content + len(content).to_bytes(4, "little") + b"PAR1"


def repeated(rows: int) -> bytes:
    """Return a file of a repeated column that no list is around, whose rows are in no group.

    Source: parquet.thrift: FileMetaData 1 version, 2 schema, 3 num_rows, 4 row_groups.
    """
    root = b"\x48\x01m\x15\x02\x00"  # name, one child
    leaf = b"\x15\x02\x25\x04\x18\x01a\x00"  # INT32, REPEATED, name
    return footer(b"\x15\x02\x19\x2c", root, leaf, b"\x16", bytes([2 * rows]), b"\x19\x0c")


def seeds(folder: Path, manager: KeyManager) -> list[Path]:
    """Write what is changed: tables of all kinds, and those that were pseudonymized."""
    ssns = [f"{number}-12-3456" for number in range(100, 130)]
    flat = pa.table({"ssn": ssns, "n": range(30), "s": pa.array(ssns).dictionary_encode()})
    nested = {
        "ssn": ssns,
        "list": [[1, 2], None, []] * 10,
        "struct": [{"a": 1, "b": ["x"]}, None, {"a": None, "b": []}] * 10,
        "map": pa.array([[("a", 1)], None, []] * 10, pa.map_(pa.string(), pa.int32())),
        "moment": [_MOMENT, None, _MOMENT] * 10,
    }
    tables: dict[str, tuple[pa.Table, dict[str, Any]]] = {
        "flat": (flat, {}),
        "groups": (flat, {"row_group_size": 7, "compression": "zstd"}),
        "pages": (flat, {"data_page_version": "2.0", "compression": "gzip", "data_page_size": 50}),
        "plain": (flat, {"compression": "none", "use_dictionary": False, "store_schema": False}),
        "nested": (pa.table(nested), {"use_deprecated_int96_timestamps": True}),
        "no_rows": (flat.slice(0, 0), {}),
        "no_columns": (pa.table({}), {}),
    }
    made = []
    for name, (table, options) in tables.items():
        made.append(folder / f"{name}.parquet")
        parquet.write_table(table, made[-1], **options)
    for rows in (0, 6):
        made.append(folder / f"repeated{rows}.parquet")
        made[-1].write_bytes(repeated(rows))
    made.append(folder / "lines.csv")
    made[-1].write_text("ssn,n\n" + "".join(f'{ssn},"a ""b"", {ssn}"\n' for ssn in ssns))
    made.append(folder / "rows.jsonl")
    made[-1].write_text("".join(f'{{"ssn": "{ssn}", "n": [{ssn[:3]}, 1.50]}}\n' for ssn in ssns))
    for name, compression in (("flat", "zstd"), ("plain", "uncompressed")):
        made.append(folder / f"{name}.feather")
        feather.write_feather(flat, made[-1], compression=compression, chunksize=7)
    made.append(folder / "flat.arrows")
    with pa.ipc.new_stream(made[-1], flat.schema) as writer:
        writer.write_table(flat, max_chunksize=7)
    made.append(folder / "lines.csv.gz")
    made[-1].write_bytes(gzip.compress((folder / "lines.csv").read_bytes()))
    for plain in (made[0], *made[-6:]):
        hidden = plain.with_name(f"hidden-{plain.name}")
        anonymize_file(plain, hidden, ["ssn"], key_manager=manager)
        made.append(hidden)
    manager.rotate_key("master_key")
    return made


@dataclass
class FileFuzzer:
    """Throws files.

    Args:
        folder: where they are.
        manager: with the key of those that are pseudonymized.
        seeds: what is changed.
    """

    folder: Path
    manager: KeyManager
    seeds: Sequence[Path]

    def throw(self, random: Random, number: int) -> str:
        """Do everything with a file that was changed."""
        seed = self.seeds[number % len(self.seeds)]
        content = changed(seed.read_bytes(), random)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            path = Path(folder) / seed.name
            path.write_bytes(content)
            beside = seed.with_name(f"{seed.name}.manifest.json")
            if beside.exists():
                text = beside.read_bytes()
                if random.random() < 0.5:
                    text = changed(text, random)
                path.with_name(beside.name).write_bytes(text)
            return _in_child(lambda: self._work_on(path))

    def _work_on(self, path: Path) -> bool:
        """Return whether anything could be done."""
        output, how = path.with_name(f"output{path.suffix}"), {"key_manager": self.manager}
        calls: list[Callable[[], object]] = [
            lambda: anonymize_file(
                path, output, ["ssn"], small_domain="token", on_invalid="token", force=True, **how
            ),
            lambda: reidentify_file(path, output, force=True, **how),
            lambda: reidentify_file(path, output, force=True, check_table=False, **how),
            lambda: [scan(chunk.table) for chunk in open_table(path).chunks()],
            lambda: key_usage(path),
            lambda: preview_file(path, ["ssn"], **how),
            lambda: str(preview_file(path, ["n"], strategy="redact", **how)),
            lambda: rekey_file(path, **how),
        ]
        done = 0
        for call in calls:
            try:
                call()
                done += 1
            except SecureMLError:
                pass
        return done > 0


def changed(content: bytes, random: Random) -> bytes:
    """Return bytes of which some are others, most of them near the end, where footers are."""
    made = bytearray(content)
    for _ in range(random.choice([0, 1, 1, 1, 2, 4])):
        at = random.randrange(len(made) + 1)
        if random.random() < 0.7:
            at = max(0, len(made) - random.randrange(1, 700))
        end = at + random.randrange(9)
        way = random.randrange(6)
        if way < 3 and at < len(made):
            made[at] = random.choice([random.randrange(256), made[at] ^ 1 << random.randrange(8)])
        elif way == 3:
            made[at:end] = b""
        elif way == 4:
            made[at:at] = random.choice([made[at:end], random.randbytes(4), b"\xff" * 8])
        elif random.random() < 0.3:
            del made[at:]
    return bytes(made) or b"x"


def _in_child(work: Callable[[], bool]) -> str:
    """Work in another process.

    Raises:
        RuntimeError: it raised anything, or was ended by a signal.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        os.dup2(writer, 2)  # what Arrow says in the end
        code, told = 1, b""
        try:
            code = 0 if work() else 3
        except BaseException:  # whatever it is, it is what is looked for
            told = traceback.format_exc().encode("utf-8", "replace")[-20_000:]
        os.write(writer, told)
        os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        told = file.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 3):
        raise RuntimeError(f"the process ended with {code}: {told.decode()}")
    return "recovered" if code == 0 else "refused"


@contextmanager
def writing() -> Iterator[FileFuzzer]:
    """Write the seeds into a folder of their own."""
    manager = KeyManager(environment="development", store=MemoryStore())
    manager.import_key("master_key", "5e" * 32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield FileFuzzer(folder, manager, seeds(folder, manager))
