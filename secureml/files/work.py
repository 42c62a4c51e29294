"""The folder of a rekey: its plan, the chunks that are done, and what is to be put in place.

It is a folder of this user in which nobody else may write, held open from the first look on:
whatever becomes of its name, everything is done in this very folder, by names that a rekey gives.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Self, cast

import pyarrow as pa

from secureml.atomic_files import check_replaceable, sync, sync_folder
from secureml.errors import SecureMLError
from secureml.files.manifests import PENDING
from secureml.files.storage import belongs_to

__all__ = ["Work"]

_DATA, _PLAN, _MOVES = "data", "plan.json", "moves.json"
_NAMES = re.compile(r"(?P<name>data|(plan|moves|manifest)\.json|part-\d{6,}\.(arrow|json))(\.tmp)?")


class Work:
    """The folder of one rekey, which one process at a time has.

    Args:
        folder: its path, for messages.
        descriptor: the folder, locked.

    Raises:
        SecureMLError: what is in it is of no rekey.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder = folder
        self._descriptor = descriptor
        self.parts: list[int] = []
        self.schema: pa.Schema | None = None
        self._tidy()

    @classmethod
    @contextlib.contextmanager
    def locked(cls, folder: Path) -> Iterator[Self]:
        """Lock the folder, and make it if it is not there.

        Raises:
            SecureMLError: another process has it, it is not this user's alone, or it can't be
                made.
        """
        descriptor, problem = None, ""
        try:
            descriptor = _taken(folder)
        except BlockingIOError:
            problem = f"another rekey works in {folder} at this moment"
        except OSError as error:
            problem = f"{folder} can't be used ({error.strerror or type(error).__name__})"
        if descriptor is None:
            raise SecureMLError(problem)
        try:
            yield cls(folder, descriptor)
        finally:
            with contextlib.suppress(OSError):
                folder.rmdir()  # only if nothing is in it
            os.close(descriptor)

    @property
    def rows(self) -> int:
        """How many rows are done."""
        return sum(self.parts)

    @property
    def plan(self) -> Mapping[str, Any] | None:
        """What was noted down of the plan, last of all that it is complete; None for nothing."""
        name = _MOVES if self._holds(_MOVES) else _PLAN
        return self._read(name) if self._holds(name) else None

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Note down what is to be done."""
        self._write(_PLAN, plan)

    def resume(self) -> None:
        """Go on after the chunks that are done.

        Raises:
            SecureMLError: what is in the folder can't be read.
        """
        while self._holds(record := _part(len(self.parts), "json")):
            part = self._read(record)
            if not isinstance(part.get("rows"), int) or not isinstance(part.get("manifest"), dict):
                self.unreadable(record)
            self.parts.append(part["rows"])
        if self.parts:
            self.schema = self._table(0).schema

    @property
    def nothing(self) -> pa.Table:
        """The new columns of no rows."""
        return pa.table({}) if self.schema is None else self.schema.empty_table()

    def add(self, columns: pa.Table, rows: int, manifest: Mapping[str, Any]) -> None:
        """Keep the new columns of a chunk.

        Args:
            columns: those that are replaced.
            rows: how many rows it has, also if none is.
            manifest: of these rows.
        """
        self.schema = columns.schema
        number = len(self.parts)
        with (
            self._new(_part(number, "arrow")) as file,
            pa.ipc.new_file(file, columns.schema) as writer,
        ):
            writer.write_table(columns)
        # Whoever sees this knows that the chunk is whole.
        self._write(_part(number, "json"), {"rows": rows, "manifest": manifest})
        self.parts.append(rows)

    def manifests(self) -> Iterator[Mapping[str, Any]]:
        """Go through the manifests of the chunks."""
        names = (_part(number, "json") for number in range(len(self.parts)))
        return (self._read(name).get("manifest", {}) for name in names)

    def tables(self) -> Iterator[pa.Table]:
        """Go through the chunks.

        Raises:
            SecureMLError: one can't be read.
        """
        return map(self._table, range(len(self.parts)))

    def new_data(self, mode: int) -> contextlib.AbstractContextManager[BinaryIO]:
        """Write the new file."""
        return self._new(_DATA, mode)

    def data(self) -> BinaryIO:
        """Open the new file."""
        return self._open(_DATA)

    def write_manifest(self, text: str, mode: int) -> None:
        """Write what is to lie beside the new file."""
        with self._new(PENDING, mode) as file:
            file.write(text.encode())

    def complete(self, plan: Mapping[str, Any]) -> None:
        """Note down that the new file is complete."""
        self._write(_MOVES, plan)

    def put_in_place(self, target: Path, place: Path | None) -> None:
        """Put the new file and its manifest in place, as far as they are not yet.

        Args:
            target: the place of the file.
            place: the place of its manifest; None if that is in the file.

        Raises:
            SecureMLError: they can't be; another run can.
        """
        problem = ""
        for name, to in ((_DATA, target), (PENDING, place)):
            if to is None or not self._holds(name):
                continue
            check_replaceable(to)
            try:
                os.replace(name, to, src_dir_fd=self._descriptor)
                sync_folder(to.parent)
            except OSError as error:
                problem = f"{to} can't be replaced ({error.strerror or type(error).__name__})"
            if problem:
                raise SecureMLError(f"{problem}; what is in {self.folder} is complete")

    def clear(self) -> None:
        """Remove what is in the folder, last what tells that all is done."""
        with contextlib.suppress(OSError):
            names = filter(_NAMES.fullmatch, self._listed())
            for name in sorted(names, key=lambda name: name == _MOVES):
                if name == _MOVES:
                    sync_folder(self._descriptor)
                os.unlink(name, dir_fd=self._descriptor)

    def unreadable(self, name: str = "") -> NoReturn:
        """Refuse what is in the folder.

        Args:
            name: which file of it; by default that of the plan.

        Raises:
            SecureMLError: always.
        """
        name = name or (_MOVES if self._holds(_MOVES) else _PLAN)
        raise SecureMLError(
            f"{self.folder / name} can't be read, or is not as a rekey left it. If no file was put"
            f" in place yet, remove {self.folder} and begin again"
        )

    def _tidy(self) -> None:
        """Remove what was not written whole, and refuse a folder with anything of another kind."""
        for name in self._listed():
            match = _NAMES.fullmatch(name)
            if match is None:
                raise SecureMLError(
                    f"{self.folder} holds {name!r}, which is of no rekey: move it elsewhere"
                )
            if match["name"] != name:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=self._descriptor)

    def _listed(self) -> list[str]:
        return os.listdir(self._descriptor)  # noqa: PTH208  # no path

    def _holds(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _open(self, name: str, flags: int = os.O_RDONLY, mode: str = "rb") -> BinaryIO:
        def opener(path: str, _: int) -> int:
            return os.open(path, flags | os.O_NOFOLLOW, 0o600, dir_fd=self._descriptor)

        return cast(BinaryIO, open(name, mode, opener=opener))

    @contextlib.contextmanager
    def _new(self, name: str, mode: int = 0o600) -> Iterator[BinaryIO]:
        """Write a file that has its name when it is complete."""
        here, temporary, problem = self._descriptor, f"{name}.tmp", ""
        try:
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                with self._open(temporary, flags, "wb") as file:
                    yield file
                    sync(file)
                    os.fchmod(file.fileno(), mode)
                os.replace(temporary, name, src_dir_fd=here, dst_dir_fd=here)
                sync_folder(here)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=here)
        except SecureMLError:
            raise
        except OSError as error:
            problem = f"{self.folder / name} can't be written"
            problem += f" ({error.strerror or type(error).__name__})"
        if problem:
            raise SecureMLError(problem)

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        with self._new(name) as file:
            file.write(json.dumps(content).encode())

    def _read(self, name: str) -> dict[str, Any]:
        content = None
        try:
            with self._open(name) as file:
                content = json.load(file)
        except (OSError, ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            self.unreadable(name)
        return content

    def _table(self, number: int) -> pa.Table:
        name, table = _part(number, "arrow"), None
        try:
            with self._open(name) as file, pa.ipc.open_file(file) as reader:
                table = reader.read_all()
        except (OSError, pa.ArrowInvalid):
            table = None
        if table is None:
            self.unreadable(name)
        return table


def _part(number: int, kind: str) -> str:
    return f"part-{number:06}.{kind}"


def _taken(folder: Path) -> int:
    """Lock a folder, and make it if it is not there."""
    try:
        import fcntl
    except ImportError:
        fcntl = None  # type: ignore[assignment]  # as on Windows
    if fcntl is None:
        raise SecureMLError("rekey of a file needs locks of POSIX (fcntl), which are not here")
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            _check_own(status, folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(folder.lstat(), status):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # Whoever had it was done, and removed it in between.
        os.close(descriptor)


def _check_own(status: os.stat_result, folder: Path) -> None:
    if not belongs_to(status, os.geteuid()):
        raise SecureMLError(
            f"{folder} is another user's, or others may write in it: a rekey takes a folder of its"
            " own. Remove it"
        )
