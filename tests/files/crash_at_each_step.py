"""Kill what changes files before each call by which it does, one after the other.

Run in a process of its own, with an empty folder, the kind of file, what is killed and after how
many steps the next one is tried: "output" or "place" for rekey_file, "replaced" for anonymize_file
where an output is there already. Prints how many steps there are.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import feather, parquet

from secureml.files import (
    anonymize_file,
    manifest_of,
    reidentify_file,
    rekey_file,
)
from secureml.files.kinds import open_table
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

CHANGES = ("replace", "fsync", "unlink", "rmdir", "mkdir", "fchmod", "open", "rename", "link")


def main(folder: Path, kind: str, where: str, stride: int) -> None:
    for module in ("csv.table", "parquet", "feather", "json_lines"):
        import_module(f"secureml.files.{module}").CHUNK_BYTES = 400
    manager = KeyManager(environment="development", store=MemoryStore())
    manager.generate_key("master_key")
    plain, hidden = folder / f"plain.{kind}", folder / f"hidden.{kind}"
    text = "ssn,b\n" + "".join(f"{n}-12-3456,{n}\n" for n in range(100, 140))
    plain.write_text(text)
    column = "ssn" if kind == "csv" else "0"
    rows = pa.table({"0": [line.split(",")[0] for line in text.splitlines()]})
    if kind == "parquet":
        parquet.write_table(rows, plain)
    elif kind == "feather":
        feather.write_feather(rows, plain, chunksize=9)
    elif kind == "jsonl.gz":
        lines = "".join(f"{json.dumps(row)}\n" for row in rows.to_pylist())
        plain.write_bytes(gzip.compress(lines.encode()))
    anonymize_file(plain, hidden, [column], small_domain="token", key_manager=manager)
    manager.rotate_key("master_key")
    expected = recovered(hidden, manager)
    pristine = folder / "pristine"
    pristine.mkdir()
    for file in folder.glob("hidden*"):
        shutil.copy(file, pristine)
    if where == "replaced":
        replace_at_each_step(plain, hidden, column, manager, stride)
        return
    output = folder / f"moved.{kind}" if where == "output" else None
    target = hidden if output is None else output

    def move() -> None:
        # Between a kill and the next run the output may be there already.
        rekey_file(hidden, output, force=output is not None, key_manager=manager)

    step = 1
    while die_at(step, move):
        assert recovered(hidden, manager) == expected, f"lost at step {step}"
        if target.exists():
            assert recovered(target, manager) == expected, f"lost at step {step}"
        # It is killed while it goes on, too.
        die_at(step // 2 + 1, move)
        assert recovered(hidden, manager) == expected, f"lost after step {step}"
        # What a kill leaves when all is in place is done, and nothing to go on with.
        move()
        assert manifest_of(target)["key"]["version"] == 2, f"not done after step {step}"
        assert recovered(target, manager) == expected, f"lost after step {step}"
        left = {file.name for file in folder.iterdir()}
        assert not any("rekey" in name for name in left), f"left over after step {step}: {left}"
        for file in pristine.iterdir():
            shutil.copy(file, folder)
        for file in folder.glob("moved*"):
            file.unlink()
        step += stride
    print(step)


def replace_at_each_step(
    plain: Path, hidden: Path, column: str, manager: KeyManager, stride: int
) -> None:
    """Kill anonymize_file; the output is the old table or the new one, and either is recovered."""
    texts = plain.read_text(), plain.read_text().replace("-12-", "-34-")
    new = plain.with_name("new.csv")
    new.write_text(texts[1])

    def anonymize_over(path: Path) -> None:
        anonymize_file(
            path, hidden, [column], small_domain="token", force=True, key_manager=manager
        )

    step, seen = 1, []
    while die_at(step, lambda: anonymize_over(new)):
        seen.append(texts.index(recovered(hidden, manager)))
        anonymize_over(new)
        assert recovered(hidden, manager) == texts[1], f"not done after step {step}"
        anonymize_over(plain)
        left = {file.name for file in hidden.parent.glob("*hidden*")}
        assert left == {"hidden.csv", "hidden.csv.manifest.json"}, f"left over: {left}"
        step += stride
    assert seen == sorted(seen), "the new table was there, and then the old one"
    assert set(seen) == {0, 1}
    print(step)


def recovered(path: Path, manager: KeyManager) -> str:
    again = path.with_name(f"again{path.suffix}")
    reidentify_file(path, again, force=True, key_manager=manager)
    if path.suffix == ".csv":
        return again.read_text()
    return str([chunk.table.to_pydict() for chunk in open_table(again).chunks()])


def die_at(step: int, action: Callable[[], object]) -> bool:
    """Whether the action, in a process of its own, is killed before its so-manieth change."""
    process = os.fork()
    if process:
        _, status = os.waitpid(process, 0)
        assert os.WIFSIGNALED(status) or status == 0, "the action failed"
        return os.WIFSIGNALED(status)
    count = 0

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in CHANGES:
        setattr(os, name, dying(getattr(os, name)))
    action()
    os._exit(0)


main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
