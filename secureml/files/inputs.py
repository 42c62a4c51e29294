"""Which files a job reads: what folders, globs and lists of addresses stand for."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from secureml.errors import ArgumentError, SecureMLError
from secureml.files.locations import (
    Address,
    LocalLocation,
    Location,
    StandardLocation,
    fits,
    location_of,
    shown,
)
from secureml.files.manifests import PENDING_SIDECAR, SIDECAR

__all__ = ["Source", "find_sources", "is_hidden", "is_one_file"]

_WILDCARD = re.compile(r"[*?\[]")
_TABLE = re.compile(
    r"\.(csv|tsv|txt|parquet|pq|feather|arrow|arrows|ipc|jsonl|ndjson|json)(\.(gz|gzip|zst|zstd))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Source:
    """A file that a job reads.

    Args:
        name: below the root of its input, ``/`` between folders.
        location: where it is.
    """

    name: str
    location: Location


def find_sources(
    inputs: Address | Iterable[Address], output: Location, rejects: Location | None = None
) -> tuple[list[Source], list[str]]:
    """Find the tables that inputs stand for.

    Of a folder all files count that have the suffix of a table; of a glob all that fit it, or lie
    in folders that fit it and have the suffix of a table. Hidden files and manifests never do.

    Args:
        inputs: folders, globs and files.
        output: the folder of the results, which is not read.
        rejects: another folder that is not read.

    Returns:
        The tables by name, and the names of files that are left out.

    Raises:
        ArgumentError: there are no inputs.
        SecureMLError: an input does not exist, can't be read, or has no tables.
    """
    given = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    if not given:
        raise ArgumentError.of("inputs", "is empty: name a folder, a glob or files")
    sources: list[Source] = []
    left_out: list[str] = []
    files: list[Location] = []
    for address in given:
        root, pattern = _split(address)
        location = location_of(root, "inputs")
        if isinstance(location, StandardLocation):
            raise ArgumentError.of("inputs", "is for files and folders, not for standard input")
        if pattern is None and not location.is_folder():
            files.append(location)
            continue
        if location in (output, rejects):
            raise SecureMLError(f"{location.shown} is the input itself: name another output")
        found = list(_tables_below(location, pattern, (output, rejects), left_out))
        if not found:
            raise SecureMLError(f"{shown(address)} has no tables: check the name, or name files")
        sources += found
    sources += _under_one_root(files)
    return sorted(sources, key=lambda source: source.name), sorted(left_out)


def is_one_file(address: Address) -> bool:
    """Tell whether an address is that of a file, and not a glob or a folder.

    Raises:
        SecureMLError: nothing is there, or it can't be told.
    """
    root, pattern = _split(address)
    return pattern is None and not location_of(root, "inputs").is_folder()


def is_hidden(name: str) -> bool:
    """Tell whether a name, or a folder of it, is one that readers of datasets pass over."""
    return any(
        part.startswith(".") or (part.startswith("_") and "=" not in part)
        for part in name.split("/")
    )


def _split(address: Address) -> tuple[Address, str | None]:
    """Return the folder that a glob begins with, and the rest; of another address, None."""
    text = os.fspath(address) if isinstance(address, str | os.PathLike) else ""
    if not _WILDCARD.search(text) or os.path.lexists(text):
        return address, None
    parts = text.split("/")
    first = next(number for number, part in enumerate(parts) if _WILDCARD.search(part))
    root = "/".join(parts[:first]) + "/"
    return root if first else ".", "/".join(parts[first:])


def _tables_below(
    root: Location,
    pattern: str | None,
    apart_from: Sequence[Location | None],
    left_out: list[str],
) -> Iterator[Source]:
    for name, location in root.below(apart_from):
        is_named = pattern is not None and fits(name, pattern)
        if pattern is not None and not is_named:
            folders = [name[: match.start()] for match in re.finditer("/", name)]
            if not any(fits(folder, pattern) for folder in folders):
                continue
        is_file = not isinstance(location, LocalLocation) or location.path.is_file()
        is_manifest = name.endswith((SIDECAR, PENDING_SIDECAR))
        is_table = is_named or _TABLE.search(posixpath.basename(name)) is not None
        if is_hidden(name) or is_manifest or name.endswith(".crc") or not (is_file and is_table):
            left_out.append(name)
        else:
            yield Source(name, location)


def _under_one_root(files: list[Location]) -> Iterator[Source]:
    """Name files below the deepest folder that all are in."""
    if all(isinstance(file, LocalLocation) for file in files):
        paths = [Path(file.shown).as_posix() for file in files]
    else:
        paths = [file.shown for file in files]
    folders = [path.rpartition("/")[0].split("/") for path in paths]
    common = sum(
        1 for _ in takewhile(lambda names: len({*names}) == 1, zip(*folders, strict=False))
    )
    for file, path in zip(files, paths, strict=True):
        yield Source("/".join(path.split("/")[common:]), file)
