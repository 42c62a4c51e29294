"""Checks of what is on this machine: environment, files, variables, packages, audit file."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Generator, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from secureml import __version__
from secureml.cli.checks.result import Check, warned
from secureml.errors import ConfigurationError
from secureml.settings import SETTINGS, Layers, Origin, Settings, find_files, load_settings

__all__ = ["project_checks"]

_NOT_FOR_USERS = ("bench", "dev")
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(\[[^]]*\])?(>=(?P<least>[\w.]+))?.*?extra == .(?P<extra>\w+)"
)
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_READABLE = stat.S_IRGRP | stat.S_IROTH


def project_checks(
    environment: str | None, environ: Mapping[str, str]
) -> Generator[Check, None, Settings | None]:
    """Check what is on this machine.

    Args:
        environment: the environment that was asked for, or None.
        environ: the environment variables.

    Returns:
        The settings; None if they can't be used.
    """
    yield from _package_checks()
    yield from _variable_checks(environ)
    settings: Settings | None = None
    warnings: list[Check] = []
    try:
        settings, warnings = warned(
            "settings",
            "remove it, or move what it says to where it is read",
            lambda: load_settings(Layers(environment=environment), environ=environ),
        )
    except ConfigurationError as error:
        wrong = error.problems
    else:
        wrong = ()
    for problem in wrong:
        text, _, remedy = problem.partition("; ")
        remedy = remedy or "correct it; secureml settings schema tells what can be set"
        yield Check.problem("settings", ConfigurationError(text), remedy)
    yield from _file_checks(settings, environ)
    if settings is None:
        return None
    yield _environment_check(settings)
    yield from warnings
    if not warnings:
        yield Check.ok("settings", "every value can be used, and nothing is ignored")
    yield from _audit_checks(settings)
    return settings


def _environment_check(settings: Settings) -> Check:
    if settings.environment is None:
        return Check.ok(
            "environment",
            "none is selected: the policy is production's, and paths in Vault name none",
        )
    return Check.ok("environment", f"{settings.environment}, by {settings.origins['environment']}")


def _package_checks() -> Iterator[Check]:
    """Tell what is installed, and which extras lack something or have it too old."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check.ok("packages", f"secureml {__version__}, Python {python}")
    try:
        requirements = metadata.requires("secureml") or []
    except metadata.PackageNotFoundError:
        yield Check.unknown("extras", "secureml itself is not installed, but found as a folder")
        return
    extras: dict[str, dict[str, str]] = {}
    for found in filter(None, map(_REQUIREMENT.match, requirements)):
        if found["extra"] not in _NOT_FOR_USERS:
            extras.setdefault(found["extra"], {})[found["name"]] = found["least"] or ""
    installed, missing = [], []
    for extra, needed in extras.items():
        versions = {name: version for name in needed if (version := _version(name))}
        if len(versions) < len(needed):
            missing.append(extra)
            continue
        installed.append(f"{extra} ({', '.join(f'{n} {v}' for n, v in versions.items())})")
        for name, version in versions.items():
            if _numbers(version) < _numbers(needed[name]):
                old = f"{name} {version} is older than {needed[name]}, which {extra} needs"
                yield Check.problem("extras", old, f"pip install -U 'secureml[{extra}]'")
    yield Check.ok(
        "extras",
        f"installed: {', '.join(installed) or 'none'}; "
        f"not installed: {', '.join(missing) or 'none'}",
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])[:3]))


def _variable_checks(environ: Mapping[str, str]) -> Iterator[Check]:
    names = sorted(
        name for name in environ if name.startswith("DYNACONF_") or name.endswith("_FOR_DYNACONF")
    )
    if names:
        steers = f"{', '.join(names)}: steers Dynaconf in other programs, and not secureml"
        yield Check.warning("variables", steers, "unset it if it was meant for secureml")
    else:
        yield Check.ok("variables", "none of Dynaconf is set")


def _file_checks(settings: Settings | None, environ: Mapping[str, str]) -> Iterator[Check]:
    try:
        found = find_files(environ)
    except ConfigurationError:  # which is among the problems of the settings
        return
    paths = [path for path in (found.main, found.local) if path is not None]
    if not paths:
        yield Check.ok("files", "there is no settings.toml here or in a folder above")
    for path in paths:
        secrets = [] if settings is None else _secrets_in(path, settings)
        yield _file_check(path, secrets)


def _secrets_in(path: Path, settings: Settings) -> list[str]:
    return [
        setting.name
        for setting in SETTINGS
        if setting.secret
        and any(place.file == path for place in Origin.of(settings.origins[setting.name]).places)
    ]


def _file_check(path: Path, secrets: list[str]) -> Check:
    try:
        mode, folder = path.stat().st_mode, path.parent.stat().st_mode
    except OSError as error:
        return Check.unknown("files", f"{path} can't be looked at ({error.strerror})")
    if os.name == "posix":
        if mode & _WRITABLE:
            return Check.warning(
                "files", f"{path} can be changed by other users", f"chmod go-w {path}"
            )
        if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
            replaceable = f"{path} can be replaced by other users, who may write to its folder"
            return Check.warning("files", replaceable, f"chmod o-w {path.parent}")
        if secrets and mode & _READABLE:
            readable = f"{path} holds {', '.join(secrets)}, and other users can read it"
            return Check.warning("files", readable, f"chmod 600 {path}")
    return Check.ok("files", f"{path}, mode {stat.S_IMODE(mode):04o}, {_owner(path)}")


def _owner(path: Path) -> str:
    try:
        return f"of {path.owner()}"
    except (ImportError, KeyError, NotImplementedError):  # as on Windows
        return "of a user without a name"


def _audit_checks(settings: Settings) -> Iterator[Check]:
    if settings.audit_log is None:
        yield Check.ok("audit", "audit_log is not set: the logger secureml.audit alone has events")
        return
    path = Path(settings.audit_log)
    problem = _audit_problem(path)
    if not problem:
        yield Check.ok("audit", f"{path} can be written")
        return
    remedy = f"let this user write to {path}, or name another file in audit_log"
    if settings.audit_required:
        yield Check.problem("audit", f"{path}: {problem}, and nothing is handed out", remedy)
    else:
        yield Check.warning("audit", f"{path}: {problem}, and events are lost", remedy)


def _audit_problem(path: Path) -> str:
    if path.is_symlink():
        return "it is a symbolic link"
    if path.is_dir():
        return "it is a folder"
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return "it can't be written"
    return ""
