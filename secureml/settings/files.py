"""Settings files: where they are found, and what they may look like.

Every problem is an error that names the file and never shows a value: a file that is passed over
in silence leaves its reader with other settings than they believe.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from secureml.errors import ConfigurationError
from secureml.settings.environments import ENVIRONMENTS, section_problem
from secureml.settings.schema import SETTINGS
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


Sections = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The settings file of a project and the local one beside it.

    Attributes:
        main: the file, or None where there is none.
        local: its ``.local`` companion, for one machine and not for version control; None where
            there is none.
    """

    main: Path | None = None
    local: Path | None = None


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
            another user; the working directory is gone.
    """
    named = environ.get(FILE_VARIABLE)
    try:
        start = (start or Path.cwd()).absolute()
    except OSError:
        start = None
    if start is None:
        raise ConfigurationError("the working directory doesn't exist any more")
    if named:
        main = start / named
        if not os.path.lexists(main):
            raise ConfigurationError(f"{main}, which {FILE_VARIABLE} names, doesn't exist")
        # Who names a file trusts its owner, and nobody else who may write beside it.
        return FoundFiles(main, _found(local_of(main), _owners(main)))
    folders = (start, *start.parents)
    main_here = next(filter(None, (_found(folder / _NAME) for folder in folders)), None)
    if main_here:
        return FoundFiles(main_here, _found(local_of(main_here)))
    local_name = local_of(Path(_NAME))
    return FoundFiles(
        None, next(filter(None, (_found(folder / local_name) for folder in folders)), None)
    )


def local_of(path: Path) -> Path:
    """Return where the local companion of a settings file lies, be it there or not."""
    return path.with_name(f"{path.stem}.local{path.suffix}")


def is_local(path: Path) -> bool:
    """Tell whether a settings file is a local one (``settings.local.toml``)."""
    return path.stem.endswith(".local")


def read_sections(path: Path) -> Sections:
    """Read one settings file.

    Args:
        path: the file's absolute path.

    Returns:
        The sections and what each sets, as TOML has it.

    Raises:
        ConfigurationError: the file can't be read, is no UTF-8 or no TOML, is larger than 1 MiB,
            has keys outside a section or sections of a wrong name, or lies beside a
            ``dynaconf_hooks.py``.
    """
    # Nothing here runs such hooks, so someone would expect settings that they don't get.
    if os.path.lexists(path.with_name("dynaconf_hooks.py")):
        raise ConfigurationError(
            f"{path}: dynaconf_hooks.py lies beside it; secureml runs no hooks, move one of them"
        )
    return _sections(str(path), _parse(str(path), _read(path)))


def is_trusted(path: Path, also: Collection[int] = ()) -> bool:
    """Tell whether a file and its folder belong to the user or to root.

    It is git's rule for ``safe.directory``: as root under sudo, the user who called sudo is
    trusted too. Where the file is a link, its target and that one's folder count as well.

    Args:
        path: the file. One that can't be looked at is left for its reader to refuse.
        also: ids of other users who are trusted.
    """
    if not hasattr(os, "getuid"):
        return True
    trusted = {0, os.getuid(), *also}
    caller = os.environ.get("SUDO_UID", "")
    if os.getuid() == 0 and caller.isdecimal():
        trusted.add(int(caller))
    return _owners(path) <= trusted


def _owners(path: Path) -> set[int]:
    try:
        target = path.resolve()
        places = (path.lstat(), path.parent.stat(), target.stat(), target.parent.stat())
    except (OSError, RuntimeError, ValueError):
        return set()
    return {place.st_uid for place in places}


def _found(path: Path, also: Collection[int] = ()) -> Path | None:
    if not os.path.lexists(path):
        return None
    if not is_trusted(path, also):
        raise ConfigurationError(
            f"{path} or its folder belongs to another user; name your settings file in "
            f"{FILE_VARIABLE}, and beside it leave no such file"
        )
    return path


def _read(path: Path) -> bytes:
    problem = None
    content = b""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            problem = "is not a file"
        else:
            with path.open("rb") as file:
                content = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        problem = f"can't be read ({getattr(error, 'strerror', None) or 'not a path'})"
    if len(content) > _LARGEST:
        problem = "is larger than 1 MiB"
    if problem:
        raise ConfigurationError(f"{path} {problem}")
    return content


def _parse(name: str, content: bytes) -> Mapping[str, object]:
    problem = None
    table: Mapping[str, object] = {}
    try:
        table = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"is not UTF-8 (line {line})"
    except (ValueError, RecursionError) as error:
        # The parser's own message may quote the line.
        place = re.search(r"\(at (line \d+)", str(error))
        problem = f"is not TOML ({place[1] if place else 'at its end'})"
    if problem:
        raise ConfigurationError(f"{name} {problem}")
    return table


def _sections(name: str, table: Mapping[str, object]) -> Sections:
    problems = []
    unknown = []
    sections: dict[str, Mapping[str, object]] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            problem = section_problem(key)
            sections[key] = value
            if problem:
                problems.append(f"[{_plain(key)}]: {problem}")
        elif key in _DECLARED:
            problems.append(f"{key} stands outside a section; put it under [default]")
        elif key in {"default", *ENVIRONMENTS}:
            problems.append(f"{key} must be a section; write [{key}]")
        else:
            unknown.append(repr(key))
    if unknown:
        problems.append(
            f"unknown: {', '.join(unknown)} (if another program owns the file, name yours in "
            f"{FILE_VARIABLE})"
        )
    if problems:
        raise ConfigurationError.of([f"{name}: {problem}" for problem in problems])
    return sections


def _plain(key: str) -> str:
    return key if key.isprintable() else repr(key)
