"""Where the manifest of a file is: in a Parquet or Feather file itself, beside one of text.

Beside a CSV file lie two things in one, the manifest and a digest of the data that it is of. So a
manifest is never used for data of another state, such as that before a rekey.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from secureml.errors import ManifestError, SecureMLError
from secureml.files.base import TableFile
from secureml.files.csv import Told
from secureml.files.kinds import holds_manifest, open_table
from secureml.files.locations import Location, StoredLocation, is_url, location_of
from secureml.files.storage import Digest, belongs_to, digest_of
from secureml.pseudonymization.manifest import Manifest, read_json

__all__ = [
    "PENDING_SIDECAR",
    "SIDECAR",
    "GivenManifest",
    "document_in",
    "earlier_manifest",
    "fetched_manifest",
    "find_manifest",
    "manifest_of",
    "open_told",
    "pair_text",
    "pending_of",
    "sidecar_of",
    "work_folder_of",
]

GivenManifest = str | os.PathLike[str] | Mapping[str, Any]
"""The path of a manifest, or the manifest itself."""

SIDECAR = ".manifest.json"
"""What follows a CSV file's name in that of its manifest."""

PENDING_SIDECAR = f"{SIDECAR}.next"
"""What follows the name until the CSV file is in place."""

PENDING = "manifest.json"
"""In the folder of a rekey, the manifest of the data that it is about to put in place."""


def sidecar_of(path: Path) -> Path:
    """Return where the manifest of a CSV file lies."""
    return path.with_name(path.name + SIDECAR)


def pending_of(path: Path) -> Path:
    """Return where the manifest of a CSV file lies until the file is in place."""
    return path.with_name(path.name + PENDING_SIDECAR)


def work_folder_of(path: Path) -> Path:
    """Return the folder in which a rekey of a file keeps what it has done."""
    return path.with_name(f"{path.name}.rekey")


def manifest_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the manifest of a table in a file.

    Args:
        path: the table, or a file that holds a manifest alone.

    Raises:
        ManifestError: there is none, or none of the file as it is now.
        SecureMLError: a file can't be read.
    """
    path = Path(os.path.realpath(path))
    if path.suffix == ".json":
        return document_in(path)[0]
    if path.is_file() and not holds_manifest(path):
        # No delimiter is asked for: the columns don't matter.
        return _beside(path, None)
    return find_manifest(open_table(path), None)


def find_manifest(table: TableFile, given: GivenManifest | None) -> dict[str, Any]:
    """Return the manifest of a table.

    Args:
        table: the table.
        given: what the caller named, if anything.

    Raises:
        ManifestError: there is none, or none of the file as it is now.
        SecureMLError: it can't be read.
    """
    if isinstance(given, Mapping):
        return dict(given)
    if table.keeps_manifest:
        return document_in(Path(given))[0] if given is not None else _attached(table)
    if not table.has_name and given is None:
        raise ManifestError(
            "standard input has no manifest beside it: name the one it was made with"
        )
    return _beside(table.path, given)


def earlier_manifest(table: TableFile, given: GivenManifest | None) -> dict[str, Any] | None:
    """Return the manifest of a table that was pseudonymized before, or None.

    Args:
        table: the table.
        given: what the caller named, if anything.

    Raises:
        ManifestError: there is one, and none of the file as it is now.
        SecureMLError: it can't be read.
    """
    beside = (sidecar_of(table.path), pending_of(table.path))
    known = given is not None or table.attached is not None or any(map(Path.exists, beside))
    return find_manifest(table, given) if known else None


def fetched_manifest(
    table: TableFile, given: GivenManifest | None, source: Location
) -> GivenManifest | None:
    """Return what the caller named, fetched if it lies in a store, as what is beside the table.

    Args:
        table: the table.
        given: what the caller named, if anything.
        source: where the table lies.

    Raises:
        ManifestError: there is one in the store, and none of the file as it is now.
        SecureMLError: it can't be read.
    """
    if isinstance(given, str) and is_url(given):
        with location_of(given, "manifest").reading() as path:
            return document_in(path)[0]
    if given is not None or table.keeps_manifest or not isinstance(source, StoredLocation):
        return given
    places = [place for place in map(source.beside, (PENDING_SIDECAR, SIDECAR)) if place.exists()]
    for place in places:
        with place.reading() as path:
            document, of = document_in(path)
        if of in (None, digest_of(table.path)):
            return document
    if places:
        raise _changed(source.shown, places[-1].shown)
    return None


def _changed(path: str, name: str) -> ManifestError:
    return ManifestError(
        f"{path} is not as it was when {name} was made: it was changed since. If rows or other"
        " columns were changed on purpose, name this manifest explicitly"
    )


def _beside(path: Path, given: str | os.PathLike[str] | None) -> dict[str, Any]:
    digest = None
    for pending in _pending(path):
        # Whoever made the file may have put it in place, and not its manifest yet.
        digest = digest or digest_of(path)
        with contextlib.suppress(SecureMLError):  # it may be in place at this moment
            document, of = document_in(pending)
            if of == digest:
                return document
    if given is not None:
        return document_in(Path(given))[0]
    sidecar = sidecar_of(path)
    if not sidecar.exists():
        raise ManifestError(
            f"there is no manifest {sidecar}; name the one that was made with {path.name}"
        )
    document, of = document_in(sidecar)
    if of is not None and of != (digest or digest_of(path)):
        raise _changed(str(path), sidecar.name)
    return document


def document_in(path: Path) -> tuple[dict[str, Any], Digest | None]:
    """Read a manifest, and the digest of its data if the file has one.

    Raises:
        ManifestError: it is no manifest.
        SecureMLError: it can't be read.
    """
    content, problem = None, ""
    try:
        content = read_json(path.read_bytes())
    except OSError as error:
        problem = f"{path} can't be read ({error.strerror or type(error).__name__})"
    except (ValueError, RecursionError):
        content = None
    if problem:
        raise SecureMLError(problem)
    if not isinstance(content, dict):
        raise ManifestError(f"{path} is no manifest: it is not a JSON object, or has a name twice")
    document, of = content, None
    if content.keys() - {"dialect"} == {"manifest", "data"}:
        document, data = content["manifest"], content["data"]
        if not isinstance(data, dict) or data.keys() != {"sha256", "bytes"}:
            raise ManifestError(f"{path} is no manifest: what it says of its data can't be read")
        of = Digest(**data)
    return Manifest.parse(document).document(), of


def pair_text(
    document: Mapping[str, Any], of: Digest, dialect: Mapping[str, Any] | None = None
) -> str:
    """Return what lies beside a file.

    Args:
        document: its manifest.
        of: its digest.
        dialect: what it does not tell of how it is to be read.
    """
    content = {"manifest": document, "data": asdict(of)}
    if dialect:
        content["dialect"] = dict(dialect)
    return json.dumps(content, indent=1) + "\n"


def open_told(
    path: str | os.PathLike[str],
    told: Told,
    given: GivenManifest | None = None,
    source: Location | None = None,
) -> TableFile:
    """Open a table, which may not tell how it is to be read, but what lies beside it does.

    Args:
        path: the file.
        told: what the caller tells of it.
        given: the manifest that the caller names, if any.
        source: where the file lies, if the path is that of a copy.

    Raises:
        PseudonymizationError: the file is no table.
        SecureMLError: the file can't be read.
    """
    target = Path(os.path.realpath(path))
    target = target if target.exists() else Path(path)
    named = Path(given) if isinstance(given, str | os.PathLike) else None
    beside: list[Callable[[], bytes]] = [
        pending_of(target).read_bytes,
        sidecar_of(target).read_bytes,
    ]
    if named is not None:
        beside = [named.read_bytes]
    elif isinstance(source, StoredLocation):
        places = map(source.beside, (PENDING_SIDECAR, SIDECAR))
        beside = [partial(_bytes_at, place) for place in places if place.exists()]
    for read in beside:
        content = None
        with contextlib.suppress(OSError, ValueError, RecursionError):
            content = read_json(read())
        if not isinstance(content, dict) or not isinstance(content.get("dialect"), dict):
            continue
        data = content.get("data")
        size = data.get("bytes") if isinstance(data, dict) else None
        if named or (target.is_file() and size == target.stat().st_size):
            told = told.or_else(content["dialect"])
            break
    return open_table(path, told)


def _bytes_at(place: Location) -> bytes:
    with place.reading() as path:
        return path.read_bytes()


def _pending(path: Path) -> Iterator[Path]:
    """Go through the manifests that are about to be put in place.

    The folder of a rekey may be anybody's: one of this user or of the file's owner counts.
    """
    beside = pending_of(path)
    if beside.exists():
        yield beside
    if not hasattr(os, "geteuid"):
        return  # nor is there any rekey
    folder = work_folder_of(path)
    pending = folder / PENDING
    with contextlib.suppress(OSError):
        if belongs_to(folder.lstat(), os.geteuid(), path.stat().st_uid) and pending.exists():
            yield pending


def _attached(table: TableFile) -> dict[str, Any]:
    text = table.attached
    if text is None:
        raise ManifestError(f"{table.path} holds no manifest; name the one that was made with it")
    return Manifest.parse(text).document()
