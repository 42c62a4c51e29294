"""Warnings about settings: what is ignored, and secrets that other users may read."""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from secureml.errors import ExposedSecretWarning, IgnoredSettingWarning, SecureMLWarning
from secureml.settings.environments import Tier, tier_of
from secureml.settings.layers import Layer
from secureml.settings.schema import BY_NAME, Settings
from secureml.settings.variables import misspelt, nested

__all__ = ["Notice", "exposed", "ignored_files", "ignored_variables"]

Notice = tuple[str, type[SecureMLWarning]]
"""What to say, without a value, and the kind of warning."""

_NEIGHBOURS = (
    ".secrets.toml",
    "config.toml",
    "secureml.toml",
    *(
        f"{stem}.{suffix}"
        for stem in ("settings", ".secrets")
        for suffix in ("yaml", "yml", "json")
    ),
)
"""Files that other tools read, Dynaconf among them."""

_LARGEST = 1 << 16
_NAMES = re.compile("|".join(rf"\b{name}\b" for name in BY_NAME if "_" in name).encode(), re.I)
_SECRET_FILES = ("vault_token_file", "vault_password_file", "vault_secret_id_file")
"""Those that people write; what an orchestrator mounts, such as a JWT, is its own business."""


def ignored_variables(environ: Mapping[str, str]) -> Iterator[Notice]:
    """Tell of variables that look like a setting's and set none.

    Args:
        environ: the environment variables.
    """
    for name, meant in misspelt(environ):
        yield f"{name} sets no setting; did you mean {meant}?", IgnoredSettingWarning
    for name in nested(environ):
        yield f"{name} sets no setting; write a table in a settings file", IgnoredSettingWarning


def ignored_files(folder: Path, read: Collection[Path]) -> Iterator[Notice]:
    """Tell of files that name settings and are not read.

    Args:
        folder: the folder of the settings file, or where one is looked for first.
        read: the files that are read.
    """
    for path in (folder / name for name in _NEIGHBOURS):
        if path not in read and _NAMES.search(_beginning(path)):
            notice = f"{path} is not read; settings belong in settings.toml"
            yield notice, IgnoredSettingWarning


def exposed(settings: Settings, files: Iterable[Layer]) -> Iterator[Notice]:
    """Tell of secrets that others may read.

    Args:
        settings: those in force.
        files: the sections in force of settings files.
    """
    strict = settings.environment is not None and tier_of(settings.environment) is Tier.STRICT
    for layer in files if strict else ():
        for name in layer.found:
            if name in BY_NAME and BY_NAME[name].secret:
                notice = f"{layer.place}: {name} stands in a settings file; use {name}_file"
                yield notice, ExposedSecretWarning
    for name in _SECRET_FILES:
        file = getattr(settings, name)
        if file is not None and _open_to_all(Path(file)):
            notice = f"{name}: every user of this machine may read the file; chmod 600 it"
            yield notice, ExposedSecretWarning


def _beginning(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b""
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError:
        return b""


def _open_to_all(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)
