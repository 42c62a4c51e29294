"""Secrets in environment variables, or in files that environment variables name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from secureml.errors import ConfigurationError, ResourceLimitError
from secureml.settings import absolute, variable_of
from secureml.stores.base import Finding, Outcome, Record

__all__ = ["EnvironmentSource"]

_LARGEST_FILE = 1 << 20


class EnvironmentSource:
    """Reads ``SECUREML_<NAME>``, or the file that ``SECUREML_<NAME>_FILE`` names.

    The text is taken as it stands: no parser sees it. One line end at the end of a file is not
    part of the secret. A variable set to nothing counts as unset, and a relative path starts at
    the folder that was the working directory when the source was made. Names beyond ASCII have no
    variable: in upper case, different ones may be the same.

    Args:
        environ: the variables; the process's own by default.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        try:
            self._folder: Path | None = Path.cwd()
        except OSError:
            self._folder = None

    def read(self, name: str) -> Outcome:
        """Look for a secret.

        Args:
            name: the secret's name.

        Returns:
            Present, absent, or refused if the variables contradict each other or the file
            can't be read.
        """
        if not name.isascii():
            return Outcome(
                finding=Finding.ABSENT, where="environment variables (none for names beyond ASCII)"
            )
        variable = variable_of(name)
        file_variable = f"{variable}_FILE"
        text = self._environ.get(variable)
        file = self._environ.get(file_variable)
        if text and file:
            return _refused(variable, f"both {variable} and {file_variable} are set; unset one")
        if text:
            return _present(text, variable)
        if file:
            return self._from_file(file, file_variable)
        return Outcome(
            finding=Finding.ABSENT, where=f"environment variables {variable}, {file_variable}"
        )

    def _from_file(self, file: str, variable: str) -> Outcome:
        try:
            path = Path(absolute(file, variable, self._folder))
        except ConfigurationError as error:
            return _refused(variable, error.message)
        return _read(path, variable)


def _read(path: Path, variable: str) -> Outcome:
    try:
        with path.open("rb") as stream:
            octets = stream.read(_LARGEST_FILE + 1)
    except OSError as error:
        problem = f"the file that {variable} names can't be read"
        shortage = ResourceLimitError.behind(problem, error)
        return _refused(variable, shortage or f"{problem}: {error.strerror}")
    if len(octets) > _LARGEST_FILE:
        return _refused(variable, f"the file that {variable} names has over {_LARGEST_FILE} bytes")
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        return _refused(variable, f"the file that {variable} names is not UTF-8 text")
    if text.startswith("\ufeff"):
        return _refused(
            variable,
            f"the file that {variable} names begins with a byte order mark, which is no part of a "
            "secret: save it as UTF-8 without one",
        )
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        return _refused(variable, f"the file that {variable} names is empty")
    return _present(text, variable)


def _present(text: str, variable: str) -> Outcome:
    record = Record(fields={"value": text}, source="environment variable", path=variable)
    return Outcome(finding=Finding.PRESENT, where=f"environment variable {variable}", record=record)


def _refused(variable: str, problem: str | ResourceLimitError) -> Outcome:
    return Outcome(
        finding=Finding.REFUSED,
        where=f"environment variable {variable}",
        error=ConfigurationError(problem) if isinstance(problem, str) else problem,
    )
