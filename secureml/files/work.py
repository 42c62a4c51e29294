"""The folder of a rekey: its plan, the chunks that are done, and what is to be put in place."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Self

import pyarrow as pa

from secureml.errors import SecureMLError
from secureml.files.manifests import PENDING
from secureml.files.storage import Digest, new_file, put, sync_folder

__all__ = ["Plan", "Work"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rekey is to do; settled once, however often it is stopped.

    Args:
        data: the digest of the table.
        manifest: of the table.
        key_name: of the new key.
        key_version: its version, None where its source has none.
    """

    data: Digest
    manifest: Mapping[str, Any]
    key_name: str
    key_version: int | None

    def check(
        self, data: Digest, manifest: Mapping[str, Any], to_key: str | None, folder: Path
    ) -> None:
        """Check that the plan is of this table and key.

        Raises:
            SecureMLError: it is not.
        """
        problem = ""
        if (data, manifest) != (self.data, self.manifest):
            problem = "the file or its manifest was changed since"
        elif to_key not in (None, self.key_name):
            problem = f"it moves the file to {self.key_name!r}"
        if problem:
            raise SecureMLError(
                f"{folder} holds a rekey that was begun and stopped, and {problem}. To give it up,"
                " remove the folder: the file does not need it"
            )


class Work:
    """The folder of one rekey, which one process at a time has.

    Args:
        folder: the folder, locked.

    Raises:
        SecureMLError: what is in it can't be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.plan: Plan | None = None
        self.parts: list[dict[str, Any]] = []
        self.schema: pa.Schema | None = None
        if self._plan.exists() and not self.is_complete:
            self._load()

    @classmethod
    @contextlib.contextmanager
    def locked(cls, folder: Path) -> Iterator[Self]:
        """Take the folder, and make it where it is not there.

        Raises:
            SecureMLError: another process has it, or it can't be made.
        """
        import fcntl  # POSIX has it, and the rest of secureml runs without it

        descriptor, problem = None, ""
        try:
            while descriptor is None:
                folder.mkdir(mode=0o700, exist_ok=True)
                descriptor = os.open(folder, os.O_RDONLY)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _is_still(folder, descriptor):
                    # Whoever had it was done, and removed it in between.
                    os.close(descriptor)
                    descriptor = None
        except BlockingIOError:
            problem = f"another rekey works in {folder} at this moment"
        except OSError as error:
            problem = f"{folder} can't be used ({error.strerror or type(error).__name__})"
        try:
            if problem:
                raise SecureMLError(problem)
            yield cls(folder)
        finally:
            if descriptor is not None:
                if not problem:
                    with contextlib.suppress(OSError):
                        folder.rmdir()  # only where nothing is in it
                os.close(descriptor)

    @property
    def is_complete(self) -> bool:
        """Whether all is done but putting it in place."""
        return self._moves.exists()

    @property
    def rows(self) -> int:
        """How many rows are done."""
        return sum(part["rows"] for part in self.parts)

    def begin(self, plan: Plan) -> None:
        """Settle what is to be done."""
        self._write("plan.json", asdict(plan))
        self.plan = plan

    def add(self, chunk: pa.Table, manifest: Mapping[str, Any]) -> None:
        """Keep a chunk that is done."""
        self.schema = chunk.schema
        with (
            self._new(self._part(len(self.parts))) as file,
            pa.ipc.new_file(file, chunk.schema) as writer,
        ):
            writer.write_table(chunk)
        # Whoever sees this knows that the chunk is whole.
        part = {"rows": len(chunk), "manifest": manifest}
        self._write(self._part(len(self.parts)).with_suffix(".json").name, part)
        self.parts.append(part)

    def manifests(self) -> Iterator[Mapping[str, Any]]:
        """Go through the manifests of the chunks."""
        return (part["manifest"] for part in self.parts)

    def tables(self) -> Iterator[pa.Table]:
        """Go through the chunks.

        Raises:
            SecureMLError: one can't be read.
        """
        for number in range(len(self.parts)):
            yield _arrow_in(self._part(number))

    @contextlib.contextmanager
    def new_data(self, mode: int) -> Iterator[BinaryIO]:
        """Write the new file."""
        with self._new(self.data, mode) as file:
            yield file

    def write_manifest(self, text: str, mode: int) -> None:
        """Write what is to lie beside the new file."""
        with self._new(self.folder / PENDING, mode) as file:
            file.write(text.encode())

    def complete(self, target: Path, place: Path | None) -> None:
        """Record that the new file is complete, and where it goes.

        Args:
            target: the place of the file.
            place: the place of its manifest; None if that is in the file.
        """
        moves = {self.data.name: target}
        if place is not None:
            moves[PENDING] = place
        # Relative, so that the folder around can be moved while nothing runs.
        base = self.folder.parent
        names = {name: os.path.relpath(to, base) for name, to in moves.items()}
        self._write("moves.json", {"rows": self.rows, "moves": names})

    def put_in_place(self) -> tuple[int, Path | None]:
        """Put the new file and its manifest in place, as far as they are not yet.

        Returns:
            How many rows the file has, and where its manifest is; None if it is in the file.

        Raises:
            SecureMLError: they can't be; another run can.
        """
        problem, place = "", None
        record = _json_in(self._moves)
        for name, relative in record["moves"].items():
            target = Path(os.path.normpath(self.folder.parent / relative))
            place = target if name == PENDING else place
            try:
                if (self.folder / name).exists():
                    put(self.folder / name, target)
            except OSError as error:
                problem = f"{target} can't be replaced ({error.strerror or type(error).__name__})"
            if problem:
                raise SecureMLError(f"{problem}; what is in {self.folder} is complete")
        return record["rows"], place

    def clear(self) -> None:
        """Remove what is in the folder, last what tells that all is done."""
        entries = sorted(self.folder.iterdir(), key=lambda entry: entry == self._moves)
        with contextlib.suppress(OSError):
            for entry in entries:
                if entry == self._moves:
                    sync_folder(self.folder)
                entry.unlink()

    @property
    def _plan(self) -> Path:
        return self.folder / "plan.json"

    @property
    def _moves(self) -> Path:
        return self.folder / "moves.json"

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:06}.arrow"

    def _load(self) -> None:
        content = _json_in(self._plan)
        try:
            self.plan = Plan(**{**content, "data": Digest(**content["data"])})
        except (KeyError, TypeError):
            self.plan = None
        if self.plan is None:
            _unreadable(self._plan)
        while (record := self._part(len(self.parts)).with_suffix(".json")).exists():
            self.parts.append(_json_in(record))
        if self.parts:
            self.schema = _arrow_in(self._part(0)).schema

    def _new(self, target: Path, mode: int = 0o600) -> contextlib.AbstractContextManager[BinaryIO]:
        # A name that the next run takes too, so that nothing is left lying about.
        return new_file(target, mode, temporary=target.with_name(f"{target.name}.tmp"))

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        with self._new(self.folder / name) as file:
            file.write(json.dumps(content).encode())


def _is_still(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _json_in(path: Path) -> dict[str, Any]:
    content = None
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        _unreadable(path)
    return content


def _arrow_in(path: Path) -> pa.Table:
    table = None
    try:
        with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
            table = reader.read_all()
    except (OSError, pa.ArrowInvalid):
        table = None
    if table is None:
        _unreadable(path)
    return table


def _unreadable(path: Path) -> NoReturn:
    raise SecureMLError(
        f"{path} can't be read. If no file was put in place yet, remove {path.parent} and begin"
        " again"
    )
