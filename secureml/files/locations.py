"""Where tables lie: local files, and objects in stores that fsspec reaches."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from secureml.atomic_files import check_replaceable, new_file, put_in_place
from secureml.errors import ArgumentError, MissingExtraError, SecureMLError
from secureml.files.standard import STANDARD, new_output

__all__ = [
    "Address",
    "LocalLocation",
    "Location",
    "StandardLocation",
    "StoredLocation",
    "fits",
    "is_url",
    "location_of",
    "named",
    "shown",
]

Address = str | os.PathLike[str]
"""A path, a glob, a folder or the URL of a store, such as ``s3://lake/customers/``."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_FLAT = frozenset({"abfs", "abfss", "az", "gcs", "gs", "oss", "s3", "s3a"})
"""Stores without folders, in which making one might make a bucket."""

_Result = TypeVar("_Result")


class Location(ABC):
    """A file or a folder, local or in a store."""

    shown: str
    """Its address in messages, without credentials."""

    @property
    def address(self) -> Path | str:
        """Its path, or its URL without credentials."""
        return self.shown

    @abstractmethod
    def joined(self, name: str) -> Location:
        """Return the location of a name below this one, ``/`` between folders."""

    @abstractmethod
    def beside(self, suffix: str) -> Location:
        """Return the location whose name ends in a suffix more."""

    @abstractmethod
    def exists(self) -> bool:
        """Tell whether a file is there.

        Raises:
            SecureMLError: something else is there, or it can't be told.
        """

    @abstractmethod
    def is_folder(self) -> bool:
        """Tell whether a folder is there, or objects whose names begin so.

        Raises:
            SecureMLError: nothing is there, or it can't be told.
        """

    @abstractmethod
    def below(self, apart_from: Sequence[Location | None] = ()) -> Iterator[tuple[str, Location]]:
        """Go through the names of all files below this folder.

        Args:
            apart_from: folders that are left out with all in them.
        """

    @abstractmethod
    def state(self) -> tuple[int, str]:
        """Return the size of a file, and what tells this content from another."""

    @abstractmethod
    def reading(self) -> contextlib.AbstractContextManager[Path]:
        """Lend the path at which the content can be read while the block lasts."""

    @abstractmethod
    def writing(self, mode: int | None) -> contextlib.AbstractContextManager[BinaryIO]:
        """Write a file that gets its name when it is complete.

        Args:
            mode: its permission bits, if files have some; None as for ``new_file``.

        Raises:
            SecureMLError: it can't be written; what was there is as it was.
        """

    @abstractmethod
    def rename(self, target: Location) -> None:
        """Give a complete file another name, and replace the file of that name."""

    @abstractmethod
    def remove(self) -> None:
        """Remove a file."""

    @abstractmethod
    def make_folder(self, mode: int) -> None:
        """Make the folder that the file is to be in, if folders must be made."""


@dataclass(frozen=True)
class LocalLocation(Location):
    """A path of this machine, links followed."""

    path: Path

    @property
    def shown(self) -> str:  # type: ignore[override]  # an attribute of the others
        return str(self.path)

    @property
    def address(self) -> Path:
        return self.path

    def joined(self, name: str) -> LocalLocation:
        return LocalLocation(self.path.joinpath(*name.split("/")))

    def beside(self, suffix: str) -> LocalLocation:
        return LocalLocation(self.path.with_name(self.path.name + suffix))

    def exists(self) -> bool:
        return check_replaceable(self.path)

    def is_folder(self) -> bool:
        found = _told(self.shown, "read", self.path.stat)
        return stat.S_ISDIR(found.st_mode)

    def below(self, apart_from: Sequence[Location | None] = ()) -> Iterator[tuple[str, Location]]:
        without = {
            _told(each.shown, "read", partial(_identity, each.path))
            for each in apart_from
            if isinstance(each, LocalLocation) and each.path.is_dir()
        }
        yield from self._below("", without)

    def state(self) -> tuple[int, str]:
        found = _told(self.shown, "read", self.path.stat)
        return found.st_size, str(found.st_mtime_ns)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Path]:
        yield self.path

    @contextlib.contextmanager
    def writing(self, mode: int | None) -> Iterator[BinaryIO]:
        with new_file(self.path, mode) as file:
            yield file

    def rename(self, target: Location) -> None:
        assert isinstance(target, LocalLocation)
        put_in_place(self.path, target.path)

    def remove(self) -> None:
        _told(self.shown, "removed", self.path.unlink)

    def make_folder(self, mode: int) -> None:
        def make() -> None:
            missing = [each for each in self.path.parents if not each.exists()]
            for folder in reversed(missing):
                folder.mkdir(mode, exist_ok=True)

        _told(str(self.path.parent), "written", make)

    def _below(self, prefix: str, entered: set[tuple[int, int]]) -> Iterator[tuple[str, Location]]:
        """Follow links to folders, but into none that is being gone through."""
        here = _told(self.shown, "read", partial(_identity, self.path))
        if here in entered:
            return

        def names() -> list[tuple[str, bool]]:
            with os.scandir(self.path) as entries:
                return sorted((entry.name, entry.is_dir()) for entry in entries)

        for name, is_folder in _told(self.shown, "read", names):
            location = LocalLocation(self.path / name)
            if is_folder:
                yield from location._below(f"{prefix}{name}/", entered | {here})
            else:
                yield prefix + name, location


@dataclass(frozen=True)
class StoredLocation(Location):
    """An object of a store, or what its names begin with."""

    shown: str
    path: str = field(repr=False)  # may hold credentials
    store: Any = field(repr=False)

    def joined(self, name: str) -> StoredLocation:
        return StoredLocation(
            f"{self.shown.rstrip('/')}/{name}", f"{self.path.rstrip('/')}/{name}", self.store
        )

    def beside(self, suffix: str) -> StoredLocation:
        return StoredLocation(self.shown + suffix, self.path + suffix, self.store)

    def exists(self) -> bool:
        def look() -> bool:
            try:
                return self._type() == "file"
            except FileNotFoundError:
                return False

        return _told(self.shown, "read", look)

    def is_folder(self) -> bool:
        return _told(self.shown, "read", self._type) == "directory"

    def below(self, apart_from: Sequence[Location | None] = ()) -> Iterator[tuple[str, Location]]:
        self.store.invalidate_cache()
        paths = sorted(_told(self.shown, "read", partial(self.store.find, self.path)))
        root = self.path.rstrip("/") + "/"
        without = tuple(
            each.path.rstrip("/") + "/"
            for each in apart_from
            if isinstance(each, StoredLocation)
            and each.store == self.store
            and each.path != self.path
        )
        for path in paths:
            if path.startswith(root) and path != root and not path.startswith(without):
                name = path.removeprefix(root)
                yield name, self.joined(name)

    def state(self) -> tuple[int, str]:
        def look() -> tuple[int, str]:
            self.store.invalidate_cache()
            return int(self.store.info(self.path)["size"]), str(self.store.ukey(self.path))

        return _told(self.shown, "read", look)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Path]:
        with _spool() as (_, path):
            before = self.state()
            _told(self.shown, "read", partial(self.store.get_file, self.path, str(path)))
            if self.state() != before:
                raise SecureMLError(f"{self.shown} was changed while it was read")
            with named(self.shown, path):
                yield path

    @contextlib.contextmanager
    def writing(self, mode: int | None) -> Iterator[BinaryIO]:
        with _spool() as (file, path):
            with named(self.shown, path):
                yield file
            file.seek(0)

            def upload() -> None:
                # What is written in a transaction appears when the transaction ends.
                with self.store.transaction, self.store.open(self.path, "wb") as target:
                    shutil.copyfileobj(file, target, 1 << 22)

            _told(self.shown, "written", upload)

    def rename(self, target: Location) -> None:
        assert isinstance(target, StoredLocation)
        _told(target.shown, "written", partial(self.store.mv, self.path, target.path))

    def remove(self) -> None:
        _told(self.shown, "removed", partial(self.store.rm_file, self.path))

    def make_folder(self, mode: int) -> None:
        protocol = self.store.protocol
        if _FLAT.isdisjoint((protocol,) if isinstance(protocol, str) else protocol):
            folder = self.path.rpartition("/")[0]
            _told(self.shown, "written", partial(self.store.makedirs, folder, exist_ok=True))

    def _type(self) -> str:
        self.store.invalidate_cache()
        return str(self.store.info(self.path)["type"])


class StandardLocation(Location):
    """Standard input or output, in the place of a file."""

    shown = str(STANDARD)

    @property
    def address(self) -> Path:
        return STANDARD

    def joined(self, name: str) -> Location:
        raise NotImplementedError  # nothing lies beside a stream, nor in it

    def beside(self, suffix: str) -> Location:
        raise NotImplementedError  # nothing lies beside a stream, nor in it

    def exists(self) -> bool:
        return False

    def is_folder(self) -> bool:
        return False

    def below(self, apart_from: Sequence[Location | None] = ()) -> Iterator[tuple[str, Location]]:
        return iter(())

    def state(self) -> tuple[int, str]:
        return 0, ""

    @contextlib.contextmanager
    def reading(self) -> Iterator[Path]:
        yield STANDARD

    @contextlib.contextmanager
    def writing(self, mode: int | None) -> Iterator[BinaryIO]:
        with new_output(STANDARD, mode or 0) as file:
            yield file

    def rename(self, target: Location) -> None:
        raise NotImplementedError  # a stream is no name

    def remove(self) -> None:
        raise NotImplementedError  # a stream is no name

    def make_folder(self, mode: int) -> None:
        """Do nothing."""


def location_of(address: Address, argument: str = "path") -> Location:
    """Return where an address leads.

    Args:
        address: a path, of which links are followed, a URL, or "-" for standard input or output.
        argument: the name of the argument that gave it.

    Raises:
        ArgumentError: it is none.
        MissingExtraError: it takes fsspec, or the package of its store, which is not installed.
        SecureMLError: the store can't be used.
    """
    if not isinstance(address, str | os.PathLike):
        problem = f"must be a path or a URL, not {type(address).__name__}"
        raise ArgumentError.of(argument, problem)
    text = os.fspath(address)
    if text == str(STANDARD):
        return StandardLocation()
    url = _URL.match(text)
    if url is None:
        return LocalLocation(Path(os.path.realpath(text)))
    if url[1].lower() in ("file", "local"):
        path = urlsplit(text).path if "://" in text else text
        return LocalLocation(Path(os.path.realpath(url2pathname(path))))
    store, path = _store_of(text, url[1].lower(), argument)
    return StoredLocation(shown(text), path, store)


def is_url(address: Address) -> bool:
    """Tell whether an address is the URL of a store, or of a local file."""
    return _URL.match(os.fspath(address)) is not None


def shown(address: Address) -> str:
    """Return an address as messages show it: without credentials."""
    text = os.fspath(address)
    if not is_url(text):
        return text
    return re.sub(r"//(?:[^/@]*:.*|[^/@]*)@", "//", re.sub(r"\?[^/]*=.*", "", text))


def fits(name: str, pattern: str) -> bool:
    """Tell whether a name fits a glob, in which ``**`` stands for folders of any depth."""
    return _fits(name.split("/"), pattern.split("/"))


@contextlib.contextmanager
def named(address: str, path: Path) -> Iterator[None]:
    """Let errors name an address in place of the path at which its content is read or written."""
    try:
        yield
    except SecureMLError as error:
        error.reword(error.message.replace(str(path), address))
        raise


def _fits(parts: list[str], pattern: list[str]) -> bool:
    if not pattern or not parts:
        return not parts and all(each == "**" for each in pattern)
    first, *others = pattern
    if first == "**":
        return _fits(parts, others) or _fits(parts[1:], pattern)
    return fnmatchcase(parts[0], first) and _fits(parts[1:], others)


def _store_of(address: str, scheme: str, argument: str) -> tuple[Any, str]:
    problem, extra = "", "s3" if scheme in ("s3", "s3a") else "fsspec"
    store, path = None, ""
    try:
        from fsspec.core import url_to_fs

        store, path = url_to_fs(address)
    except ImportError:
        problem = "import"
    except ValueError:
        problem = f"={shown(address)!r} has a scheme that fsspec does not know"
    except Exception as error:  # whatever a plug-in raises, with the URL in it
        problem = f"={shown(address)!r} can't be used ({type(error).__name__})"
    if problem == "import":
        raise MissingExtraError.of(extra, f"An address such as {scheme}://")
    if problem:
        raise ArgumentError.of(argument, problem.partition(" ")[2], problem.partition(" ")[0])
    return store, path


@contextlib.contextmanager
def _spool() -> Iterator[tuple[BinaryIO, Path]]:
    """Lend a private file that has no name, so that nothing is left of it, and a path to open it.

    If the system has no such paths, it has a name until the block ends.
    """
    with tempfile.NamedTemporaryFile("w+b", prefix=".secureml-", delete=False) as file:
        path = Path(file.name)
        nameless = Path(f"/proc/self/fd/{file.fileno()}")
        try:
            if nameless.exists():
                path.unlink()
                yield file, nameless  # type: ignore[misc]
            else:
                yield file, path  # type: ignore[misc]
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def _told(address: str, what: str, action: Callable[[], _Result]) -> _Result:
    """Do something, and tell what a file system or a store raises without its words."""
    problem = ""
    try:
        return action()
    except SecureMLError:
        raise
    except PermissionError:
        problem = "access is denied: check the permissions, or the credentials of its store"
    except FileNotFoundError:
        problem = "it does not exist: check the address"
    except OSError as error:
        problem = os.strerror(error.errno) if error.errno else type(error).__name__
    except Exception as error:  # each plug-in has errors of its own
        problem = f"{type(error).__name__}: check the address, the network and the credentials"
    raise SecureMLError(f"{address} can't be {what} ({problem})")


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError
    return found.st_dev, found.st_ino
