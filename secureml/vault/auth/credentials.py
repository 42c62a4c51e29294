"""The credentials of a login: given directly, or in a file that is read at each login."""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass
from pathlib import Path

from secureml.errors import AuthenticationError, ResourceLimitError
from secureml.secret_types import SecretText
from secureml.settings import Settings, variable_of

__all__ = ["Credential", "needed"]

_LARGEST_FILE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A secret in a setting, or in the file that the setting's ``_file`` twin names.

    Args:
        setting: such as ``vault_password``; the twin is ``vault_password_file``.
        value: the secret; the settings never hold both.
        file: the file's path.
    """

    setting: str
    value: SecretText | None
    file: str | None

    @classmethod
    def of(cls, settings: Settings, setting: str, *, default_file: str | None = None) -> Credential:
        """Take the credential from the settings.

        Args:
            settings: the settings.
            setting: the name of the one that gives the secret directly.
            default_file: the file if neither is set.
        """
        value = getattr(settings, setting)
        file = getattr(settings, f"{setting}_file")
        if value is None and file is None:
            file = default_file
        return cls(setting=setting, value=value, file=file)

    @property
    def place(self) -> str:
        """Where the secret stands, for messages."""
        if self.value is not None or self.file is None:
            return self.setting
        return f"{self.setting}_file {self.file!r}"

    def read(self, method: str) -> SecretText:
        """Return the secret as it is now.

        Args:
            method: the login method that needs it, for the message.

        Raises:
            AuthenticationError: it is set nowhere, is empty, or its file can't be read.
            ResourceLimitError: no file can be opened.
        """
        if self.value is not None:
            return self.value
        if self.file is None:
            raise AuthenticationError(
                f"vault_auth = {method!r} needs a secret: export {variable_of(self.setting)}, or "
                f"name a file that holds it in {self.setting}_file"
            )
        content = _text_of(Path(os.path.expanduser(self.file)))  # noqa: PTH111 - for no home folder
        if isinstance(content, ResourceLimitError):
            raise content
        if isinstance(content, str):
            raise AuthenticationError(f"{self.place}: {content}")
        if not content:
            raise AuthenticationError(f"{self.place} is empty")
        return content


def needed(value: str | None, setting: str, method: str) -> str:
    """Return the value of a setting that a method needs.

    Args:
        value: the value, or None.
        setting: the setting's name.
        method: the method's name.

    Raises:
        AuthenticationError: it is not set.
    """
    if value is not None:
        return value
    raise AuthenticationError(
        f"vault_auth = {method!r} needs {setting}: set it, or export {variable_of(setting)}"
    )


def _text_of(path: Path) -> SecretText | ResourceLimitError | str:
    """Return the text of a file without its last line end, or what is wrong with the file.

    It raises nothing: the traceback would hold the octets.
    """
    try:
        with path.open("rb") as stream:
            octets = stream.read(_LARGEST_FILE + 1)
        if len(octets) > _LARGEST_FILE:
            return f"it holds more than {_LARGEST_FILE} bytes"
        if octets.startswith(codecs.BOM_UTF8):
            return "it begins with a byte order mark; save it as UTF-8 without one"
        return SecretText(octets.decode("utf-8").removesuffix("\n").removesuffix("\r"))
    except OSError as error:
        shortage = ResourceLimitError.behind(f"{str(path)!r} can't be read", error)
        return shortage or error.strerror or "it can't be read"
    except UnicodeDecodeError:
        return "it is not UTF-8 text"
