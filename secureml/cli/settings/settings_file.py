"""Edits settings files with their comments kept, and finds the one that commands write to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AbstractTable

from secureml.errors import ConfigurationError, SecureMLError
from secureml.settings import Tier, find_files, tier_of

__all__ = ["edited", "is_tracked", "place_for", "with_rules"]

_BOM = "\ufeff"
_OF_GIT = ("PATH", "HOME", "XDG_CONFIG_HOME", "SYSTEMROOT", "USERPROFILE")
_GIT_SECONDS = 10


def place_for(environment: str | None, environ: Mapping[str, str]) -> Path:
    """Return the file that a project's settings for this machine belong in.

    Args:
        environment: the canonical name of the environment, or None.
        environ: the environment variables.

    Returns:
        The local file beside the project's settings file, or in the working directory if
        there is none. If a local file is not read, as in production, the settings file itself.

    Raises:
        ConfigurationError: the settings files can't be found.
    """
    found = find_files(environ)
    if environment is not None and tier_of(environment) is Tier.STRICT:
        beside = found.local or Path.cwd() / "settings.local.toml"
        return found.main or beside.with_name("settings.toml")
    if found.main is None:
        return found.local or Path.cwd() / "settings.local.toml"
    return found.local or found.main.with_name(f"{found.main.stem}.local{found.main.suffix}")


def edited(path: Path, section: str, values: Mapping[str, str]) -> bytes:
    """Return what a settings file holds once it sets some values; nothing is written.

    Args:
        path: the file; it need not exist.
        section: the section that the values belong in.
        values: the values by name.

    Returns:
        The file's content, with comments, order and all other values as they were.

    Raises:
        ConfigurationError: the file is no UTF-8 or no TOML, or can't be changed safely.
        SecureMLError: it can't be read.
    """
    return _changed(
        path,
        section,
        lambda text: _with_values(text, section, values),
        lambda before: {**before, **values},
    )


def with_rules(path: Path, section: str, rules: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return what a settings file holds once it has more rules for columns; nothing is written.

    Args:
        path: the file; it need not exist.
        section: the section that the rules belong in.
        rules: by column, what each says; columns that the section has no rule for yet.

    Returns:
        The file's content as it was, and the rules behind it.

    Raises:
        ConfigurationError: the file is no UTF-8 or no TOML, or can't be changed safely.
        SecureMLError: it can't be read.
    """
    columns = {column: dict(rule) for column, rule in rules.items()}
    document = tomlkit.document()
    document[section] = {"columns": columns}
    return _changed(
        path,
        section,
        lambda text: text + "\n" * (2 - text.endswith("\n")) * bool(text) + tomlkit.dumps(document),
        lambda before: {**before, "columns": {**before.get("columns", {}), **columns}},
    )


def is_tracked(path: Path) -> bool:
    """Tell whether git would take a new file into version control; no, if git can't be asked."""
    git = shutil.which("git")
    top = next((folder for folder in path.parents if (folder / ".git").exists()), None)
    if git is None or top is None:
        return False
    with tempfile.TemporaryDirectory(prefix="secureml-git-") as folder:
        # An empty repository of our own around the project's files: what the configuration of
        # theirs would have git run, such as a hook for core.fsmonitor, is never read.
        empty = Path(folder)
        for name in ("objects", "refs", "info"):
            (empty / name).mkdir()
        (empty / "HEAD").write_text("ref: refs/heads/main\n")
        with suppress(OSError):
            shutil.copyfile(top / ".git" / "info" / "exclude", empty / "info" / "exclude")
        # 0: ignored, 1: not ignored, other: git can't tell.
        asked = subprocess.run(  # noqa: S603  # git and a path of ours, no shell
            [git, f"--git-dir={empty}", f"--work-tree={top}", "check-ignore", "-q", str(path)],
            cwd=top,
            # The user's own ignore file counts, and no other variable: none may hold a secret.
            env={name: os.environ[name] for name in _OF_GIT if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_GIT_SECONDS,
            check=False,
        )
    return asked.returncode == 1


def _changed(
    path: Path,
    section: str,
    change: Callable[[str], str],
    merge: Callable[[dict[str, Any]], dict[str, Any]],
) -> bytes:
    """Change the text of a file, and read the result to see that nothing else has changed."""
    content = _text_of(path)
    text = content.removeprefix(_BOM)
    problem = f"{path} can't be changed safely; change [{section}] there yourself"
    try:
        before = tomllib.loads(text)
        after = _with_line_ends(text, change(text))
        if tomllib.loads(after) == {**before, section: merge(before.get(section, {}))}:
            return (_BOM * content.startswith(_BOM) + after).encode()
    except (ValueError, TypeError, AttributeError, TOMLKitError):
        # A parser's own message may quote the file.
        problem = f"{path} can't be changed safely: it is no TOML that this command can edit"
    raise ConfigurationError(problem)


def _text_of(path: Path) -> str:
    problem = None
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        problem = f"{path} can't be read ({error.strerror})"
    except UnicodeDecodeError:
        problem = f"{path} is not UTF-8"
    raise SecureMLError(problem)


def _with_line_ends(before: str, after: str) -> str:
    """Return text with the line ends that a file has in all its lines; LF if they are mixed."""
    crlf = "\r\n" in before and before.count("\n") == before.count("\r\n")
    return re.sub("\r?\n", "\r\n", after) if crlf else after


def _with_values(text: str, section: str, values: Mapping[str, str]) -> str:
    if text and not text.endswith("\n"):
        text += "\n"
    document = tomlkit.parse(text)
    if section not in document:
        if text:
            document.add(tomlkit.nl())
        document[section] = tomlkit.table()
    table = document[section]
    if not isinstance(table, AbstractTable):
        raise TypeError("the section's keys are scattered over the file")
    # What follows a section's last value up to the next header mostly speaks of the next section:
    # new values go before it.
    body: list[Any] = table.value.body
    following = []
    while body and body[-1][0] is None:
        following.append(body.pop())
    for name, value in values.items():
        table[name] = value
    body.extend(reversed(following))
    return tomlkit.dumps(document)
