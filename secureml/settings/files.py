"""Settings files: where they are found, and what they may look like.

Every problem is an error that names the file and never shows a value: a file that is passed over
in silence leaves its reader with other settings than they believe.
"""

from __future__ import annotations

import os
import re
import stat
import time
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from secureml.errors import ConfigurationError
from secureml.settings.environments import ENVIRONMENTS, section_problem
from secureml.settings.lines import blanked
from secureml.settings.origins import Place, Problem
from secureml.settings.schema import SETTINGS
from secureml.settings.setting import absolute
from secureml.settings.variables import FILE_VARIABLE

__all__ = [
    "FoundFiles",
    "find_files",
    "is_local",
    "is_trusted",
    "local_of",
    "read_sections",
]

_DECLARED = frozenset(setting.name for setting in SETTINGS)
_NAME = "settings.toml"
_LARGEST = 1 << 20
_PARTS = 8
_DEEP = re.compile(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{_PARTS}}}")
_TRIES = 20
_SETTLED = 0.02
"""Seconds for which a file was left alone by its writer."""


_FOREIGN = (
    f"or its folder belongs to another user; name your settings file in {FILE_VARIABLE}, and "
    "beside it leave no such file"
)

Sections = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The settings file of a project and the local one beside it.

    Attributes:
        main: the file, or None if there is none.
        local: its ``.local`` companion, for one machine and not for version control; None if
            there is none.
        owners: ids of the users to whom they may belong; None if files have no such owners.
    """

    main: Path | None = None
    local: Path | None = None
    owners: frozenset[int] | None = field(default=None, compare=False)


def find_files(environ: Mapping[str, str], start: Path | None = None) -> FoundFiles:
    """Find the user's settings files.

    Args:
        environ: the environment variables; ``SECUREML_SETTINGS_FILE`` names a file and ends the
            search.
        start: the folder to begin at, the working directory by default.

    Returns:
        ``settings.toml`` of the folder or the nearest parent that has one, and
        ``settings.local.toml`` beside it; without a ``settings.toml``, the nearest
        ``settings.local.toml``. Paths are absolute.

    Raises:
        ConfigurationError: the named file doesn't exist; a file found, or its folder, belongs to
            another user; a folder can't be searched; the working directory is gone, and no
            absolute path is named.
    """
    named = environ.get(FILE_VARIABLE)
    if named:
        main = Path(absolute(named, FILE_VARIABLE, start))
        if not _exists(main):
            raise ConfigurationError(f"{main}, which {FILE_VARIABLE} names, doesn't exist")
        # Who names a file trusts its owner, and nobody else who may write beside it.
        owners = _trusted(_owners(main))
        return FoundFiles(main, _found([local_of(main)], owners), owners)
    owners = _trusted()
    folder = Path(absolute(str(start or "."), "the search for a settings file"))
    folders = (folder, *folder.parents)
    main_here = _found([folder / _NAME for folder in folders], owners)
    if main_here:
        return FoundFiles(main_here, _found([local_of(main_here)], owners), owners)
    return FoundFiles(None, _found([local_of(f / _NAME) for f in folders], owners), owners)


def local_of(path: Path) -> Path:
    """Return the path of a settings file's local companion, which need not exist."""
    return path.parent / f"{path.stem}.local{path.suffix}"


def is_local(path: Path) -> bool:
    """Tell whether a settings file is a local one (``settings.local.toml``)."""
    return path.stem.endswith(".local")


def read_sections(path: Path, owners: frozenset[int] | None = None) -> Sections:
    """Read one settings file.

    Args:
        path: the file's absolute path.
        owners: ids of the users to whom the file and its folder may belong; any by default.

    Returns:
        The sections and what each sets, as TOML has it.

    Raises:
        ConfigurationError: the file can't be read, belongs to another user, is being written, is
            no UTF-8 or no TOML, is larger than 1 MiB, has keys of too many parts, keys outside a
            section or sections of a wrong name, or lies beside a ``dynaconf_hooks.py``.
    """
    # Nothing here runs such hooks, so someone would expect settings that they don't get.
    if os.path.lexists(path.parent / "dynaconf_hooks.py"):
        problem = "dynaconf_hooks.py lies beside it; secureml runs no hooks, move one of them"
        raise ConfigurationError(Problem(problem).at(_whole(path), str(path)))
    return _sections(path, _parse(path, _read(path, owners)))


def is_trusted(path: Path, owners: frozenset[int] | None) -> bool:
    """Tell whether a file and its folder belong to some users.

    If the file is a link, its target and the target's folder count as well.

    Args:
        path: the file. One that can't be looked at is left for its reader to refuse.
        owners: ids of the users; None for any.
    """
    return owners is None or _owners(path) <= owners


def _trusted(also: Collection[int] = ()) -> frozenset[int] | None:
    """Return the ids of the users whose files are taken: this one and root.

    Unlike git, root does not trust who called sudo: the file says where credentials go, and those
    are root's.
    """
    return frozenset({0, os.geteuid(), *also}) if hasattr(os, "geteuid") else None


def _owners(path: Path) -> set[int]:
    try:
        target = path.resolve()
        places = (path.lstat(), path.parent.stat(), target.stat(), target.parent.stat())
    except (OSError, RuntimeError, ValueError):
        return set()
    return {place.st_uid for place in places}


def _exists(path: Path) -> bool:
    """Tell whether there is something of this name; a folder that can't be searched hides it."""
    problem = None
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or "not a path"
    if problem:
        raise ConfigurationError(f"{path} can't be looked for ({problem})")
    return True


def _found(candidates: Iterable[Path], owners: frozenset[int] | None) -> Path | None:
    path = next(filter(_exists, candidates), None)
    if path is not None and not is_trusted(path, owners):
        raise _wrong(path, _FOREIGN)
    return path


def _read(
    path: Path,
    owners: frozenset[int] | None = None,
    *,
    clock: Callable[[], int] = time.time_ns,
    pause: Callable[[float], None] = time.sleep,
) -> bytes:
    """Read a file that nobody is writing.

    One that was written just now may be half there, or still empty, with its writer about to go
    on: it is read again when it has been left alone for a moment.
    """
    emptied = None
    for _ in range(_TRIES):
        content, written = _read_once(path, owners)
        settled = written is not None and abs(clock() - written) > _SETTLED * 1e9
        if settled and (content or written == emptied):
            return content
        # A file that is cut to nothing may show that before it shows when.
        emptied = written
        pause(_SETTLED)
    raise _wrong(path, "is being written; try again")


def _whole(path: Path) -> Place:
    return Place(str(path), path)


def _wrong(path: Path, problem: str, line: int | None = None) -> ConfigurationError:
    return ConfigurationError(Problem(f"{path} {problem}", problem, place=_whole(path), line=line))


def _read_once(path: Path, owners: frozenset[int] | None) -> tuple[bytes, int | None]:
    """Return a file's content and when it was written; None if that was meanwhile."""
    problem = None
    content = b""
    written = None
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                problem = "is not a file"
            elif owners is not None and not (before.st_uid in owners and is_trusted(path, owners)):
                problem = _FOREIGN
            else:
                content = file.read(_LARGEST + 1)
            after = os.fstat(file.fileno())
        if _version(before) == _version(after):
            written = after.st_mtime_ns
    except IsADirectoryError:
        problem = "is not a file"
    except (OSError, ValueError) as error:
        problem = f"can't be read ({getattr(error, 'strerror', None) or 'not a path'})"
    if len(content) > _LARGEST:
        problem = "is larger than 1 MiB"
    if problem:
        raise _wrong(path, problem)
    return content, written


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe without a writer is not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _parse(path: Path, content: bytes) -> Mapping[str, object]:
    problem, line = None, None
    table: Mapping[str, object] = {}
    try:
        text = content.decode("utf-8-sig")
        line = _too_deep(text)
        if line is not None:
            problem = f"has a key of more than {_PARTS} parts"
        else:
            table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        problem = "is not UTF-8"
        line = content.count(b"\n", 0, error.start) + 1
    except (ValueError, RecursionError) as error:
        # The parser's own message may quote the line.
        problem = "is not TOML"
        told = re.search(r"\(at line (\d+)", str(error))
        line = int(told[1]) if told else None
    if problem:
        raise _wrong(path, f"{problem} ({f'line {line}' if line else 'at its end'})", line)
    return table


def _too_deep(text: str) -> int | None:
    """Return the line of a dotted key of too many parts: their square is what parsing it takes."""
    found = _DEEP.search(blanked(text))
    return text.count("\n", 0, found.start()) + 1 if found else None


def _sections(path: Path, table: Mapping[str, object]) -> Sections:
    problems = []
    unknown = []
    sections: dict[str, Mapping[str, object]] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            problem = section_problem(key)
            sections[key] = value
            if problem:
                problems.append(Problem(f"[{_plain(key)}]: {problem}", keys=[key]))
        elif key in _DECLARED:
            text = f"{key} stands outside a section; put it under [default]"
            problems.append(Problem(text, keys=[key]))
        elif key in {"default", *ENVIRONMENTS}:
            problems.append(Problem(f"{key} must be a section; write [{key}]", keys=[key]))
        else:
            unknown.append(Problem(f"unknown: {key!r}", keys=[key]))
    if unknown:
        names = ", ".join(repr(problem.keys[0]) for problem in unknown)
        text = f"unknown: {names} (if another program owns the file, name yours in {FILE_VARIABLE})"
        problems.append(Problem(text, parts=unknown))
    if problems:
        place = _whole(path)
        raise ConfigurationError.of([problem.at(place, str(path)) for problem in problems])
    return sections


def _plain(key: str) -> str:
    return key if key.isprintable() else repr(key)
