"""The table ``run``: the secrets that ``secureml run`` hands to a program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from secureml.errors import ConfigurationError
from secureml.settings.checks import check_path
from secureml.settings.origins import Problem
from secureml.settings.setting import collecting, under

__all__ = ["VARIABLE", "RunSecrets", "SecretReference"]

VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"
"""The name of an environment variable that every shell can read."""


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Names a secret, and says how a program receives it.

    Args:
        secret: the secret's name.
        field: the field of a structured secret; None for a secret that is text.
        as_file: whether the variable names a file that holds it, and not the secret itself.
    """

    secret: str
    field: str | None = None
    as_file: bool = False

    @classmethod
    def read(cls, value: object, name: str) -> SecretReference:
        """Read ``secret``, ``secret#field``, or a table that has one of them as ``file``.

        Args:
            value: what a settings file holds.
            name: what messages call it.

        Raises:
            ConfigurationError: it is neither. The message doesn't repeat it: somebody may have
                written the secret itself.
        """
        as_file = isinstance(value, Mapping) and set(value) == {"file"}
        text = value["file"] if isinstance(value, Mapping) and as_file else value
        if not isinstance(text, str):
            raise ConfigurationError(
                f'{name} must name a secret, as "database#password" or {{ file = "tls#key" }}'
            )
        secret, marked, field = text.partition("#")
        if marked and not field:
            raise ConfigurationError(f"{name} names no field behind '#'")
        return cls(check_path(secret, name), field if marked else None, as_file)

    @property
    def text(self) -> str:
        """The secret, and its field if there is one."""
        return self.secret if self.field is None else f"{self.secret}#{self.field}"

    def document(self) -> object:
        """Return it as a settings file has it."""
        return {"file": self.text} if self.as_file else self.text


@dataclass(frozen=True, slots=True)
class RunSecrets(Mapping[str, SecretReference]):
    """Secrets by the environment variable that a program reads.

    Args:
        pairs: variable and secret.
    """

    pairs: tuple[tuple[str, SecretReference], ...] = ()

    @classmethod
    def read(cls, table: object, name: str) -> RunSecrets:
        """Read the secrets of a settings file.

        Args:
            table: the secret by variable.
            name: what messages call the table.

        Raises:
            ConfigurationError: it has problems; all are listed.
        """
        if isinstance(table, RunSecrets):
            return table
        if not isinstance(table, Mapping):
            raise ConfigurationError(f"{name} must be a table of variables and secrets")
        problems: list[str] = []
        pairs = []
        for variable, value in table.items():
            if not re.fullmatch(VARIABLE, str(variable), re.ASCII):
                text = f"{name}: a variable has letters of ASCII, digits and '_' alone"
                problems.append(Problem(text, keys=[str(variable)]))
                continue
            with collecting(problems), under(variable):
                pairs.append((variable, SecretReference.read(value, f"{name}.{variable}")))
        if problems:
            raise ConfigurationError.of(problems)
        return cls(tuple(pairs))

    def over(self, weaker: RunSecrets) -> RunSecrets:
        """Return these secrets, and the weaker ones of other variables."""
        return RunSecrets(tuple({**dict(weaker.pairs), **dict(self.pairs)}.items()))

    def document(self) -> dict[str, object]:
        """Return the secrets as a settings file has them."""
        return {variable: reference.document() for variable, reference in self.pairs}

    def __getitem__(self, variable: str) -> SecretReference:
        return dict(self.pairs)[variable]

    def __iter__(self) -> Iterator[str]:
        return (variable for variable, _ in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __str__(self) -> str:
        return ", ".join(self)
