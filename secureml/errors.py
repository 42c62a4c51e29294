"""Everything secureml raises or warns of.

No message, attribute or chained exception of these holds a secret, a token, a response body or
the credentials of a URL: build the message from names, paths and sizes, and raise after the
``except`` block has ended, so that ``__context__`` does not keep the original::

    SecureMLError
      ConfigurationError (ValueError)
      MissingExtraError (ImportError)
      SecretError
        SecretNotFoundError (LookupError)
          SecretDeletedError
        SecretExistsError
        AccessDeniedError (PermissionError)
        AuthenticationError
        VaultUnavailableError (ConnectionError)
          VaultSealedError
          MalformedAnswerError
        ResourceLimitError
        KeyMaterialError (ValueError)
        KeyDisabledError
        KeyRolledBackError
      PseudonymizationError (ValueError)
        ArgumentError
        DomainTooSmallError
        InvalidValueError
        ManifestError
          ManifestChangedError
          WrongKeyError
          WrongTableError
      DatabaseError
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

__all__ = [
    "AccessDeniedError",
    "ArgumentError",
    "AuthenticationError",
    "ConfigurationError",
    "DatabaseError",
    "DevelopmentKeyWarning",
    "DomainTooSmallError",
    "ExposedSecretWarning",
    "FallbackWarning",
    "IgnoredSettingWarning",
    "InsecureConnectionWarning",
    "InvalidValueError",
    "IrreversibleWarning",
    "KeyDisabledError",
    "KeyMaterialError",
    "KeyRolledBackError",
    "MalformedAnswerError",
    "ManifestChangedError",
    "ManifestError",
    "MissingColumnWarning",
    "MissingExtraError",
    "PseudonymizationError",
    "ResourceLimitError",
    "SecretDeletedError",
    "SecretError",
    "SecretExistsError",
    "SecretNotFoundError",
    "SecureMLError",
    "SecureMLWarning",
    "UncheckedTableWarning",
    "UncheckedVersionWarning",
    "VaultSealedError",
    "VaultUnavailableError",
    "WrongKeyError",
    "WrongTableError",
    "warn",
]


class SecureMLError(Exception):
    """The root of every error that secureml raises on purpose.

    ``code`` identifies the kind of error, in every version. ``remedy`` says what to do about errors
    of this kind, as far as that can be said of all of them. ``message`` is the text without the
    code, which ``str`` adds.
    """

    code: ClassVar[str] = "SML-000"
    remedy: ClassVar[str] = "Read the message; it tells what was asked and what stood in the way."

    @property
    def message(self) -> str:
        """The text alone, for messages that it becomes a part of."""
        return str(self.args[0]) if self.args else ""

    def reword(self, message: str) -> None:
        """Replace the text, as by one that tells where it happened too."""
        self.args: tuple[Any, ...] = (message, *self.args[1:])

    def __str__(self) -> str:
        message = self.message
        separator = "\n" if "\n" in message else " "
        return f"{message}{separator}({self.code})"

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows in place of the traceback, which ``%tb`` shows whole."""
        return [f"{type(self).__name__}: {self}", self.remedy]


class ConfigurationError(SecureMLError, ValueError):
    """The settings are wrong; the message lists every problem found, not only the first."""

    code = "SML-100"
    remedy = (
        "Correct the settings that the message lists; `secureml settings show` tells which "
        "layer each value comes from."
    )

    def __init__(self, message: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems: tuple[str, ...] = tuple(problems) or (message,)

    @classmethod
    def of(cls, problems: Sequence[str]) -> ConfigurationError:
        """Make one error of all the problems found.

        Args:
            problems: one sentence each, without any secret value.
        """
        if len(problems) == 1:
            return cls(problems[0])
        listing = "".join(f"\n  - {problem}" for problem in problems)
        return cls(f"{len(problems)} problems in the settings:{listing}", problems=problems)


class SecretError(SecureMLError):
    """A secret or a key could not be read, written or used.

    ``request_id`` is Vault's own id of the request, where its answer tells one.
    """

    code = "SML-200"
    remedy = "Read the message; the codes of its children tell more."

    request_id: str | None = None


class SecretNotFoundError(SecretError, LookupError):
    """The secret is absent everywhere that the policy allows to look.

    ``looked_in`` holds those places, in order.
    """

    code = "SML-201"
    remedy = (
        "The message says where it looked. Check SECUREML_ENV and the name, or make the key "
        "with `secureml keys generate-key`."
    )

    def __init__(self, message: str, *, looked_in: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.looked_in: tuple[str, ...] = tuple(looked_in)


class SecretDeletedError(SecretNotFoundError):
    """This version of the secret was deleted or destroyed; no other value is used in its place."""

    code = "SML-202"
    remedy = (
        "Undelete the version in Vault, or use another one on purpose; what was destroyed is gone."
    )


class AccessDeniedError(SecretError, PermissionError):
    """The token is valid, and its policies do not allow this operation on this path."""

    code = "SML-310"
    remedy = (
        "Let an operator add the capability that the message names to the policy of this login."
    )

    def __init__(
        self, message: str, *, mount: str = "", path: str = "", capability: str = ""
    ) -> None:
        super().__init__(message)
        self.mount = mount
        self.path = path
        self.capability = capability


class AuthenticationError(SecretError):
    """Vault does not accept the credentials, there are none, or its certificate is not trusted."""

    code = "SML-311"
    remedy = (
        "Give the credentials that the message names, or new ones; for a certificate that is "
        "not trusted, set vault_ca_cert."
    )


class VaultUnavailableError(SecretError, ConnectionError):
    """Vault could not be reached, did not answer in time, or gave no usable answer.

    ``retry_after`` is for how many seconds Vault asks to be left alone, if it says so, and
    ``is_limit`` whether that is because it limits the rate of requests.
    """

    code = "SML-300"
    remedy = (
        "Look at Vault and the network. The next request tries again; nothing has to be made anew."
    )

    retry_after: float | None = None
    is_limit = False


class VaultSealedError(VaultUnavailableError):
    """Vault is up and sealed; an operator has to unseal it."""

    code = "SML-301"
    remedy = "Let an operator unseal Vault."


class MalformedAnswerError(VaultUnavailableError):
    """The server at Vault's address does not answer as Vault does; check the address."""

    code = "SML-302"
    remedy = (
        "Correct vault_url: something else, such as a proxy, answers there. Name other hosts "
        "of the cluster in vault_cluster_hosts."
    )


class ResourceLimitError(SecretError):
    """No file descriptor or no memory is left, in this process or on this machine.

    This is no outage of Vault: nothing stands in for what could not be read.
    """

    code = "SML-220"
    remedy = "Look for what opens files and does not close them, or raise the limit (`ulimit -n`)."

    @classmethod
    def behind(cls, what: str, *causes: BaseException) -> ResourceLimitError | None:
        """Return this error if one of the causes is such a shortage.

        Args:
            what: what could not be done, as the start of a sentence.
            causes: what was raised.
        """
        for cause in causes:
            if isinstance(cause, OSError) and cause.errno in _SHORTAGES:
                return cls(f"{what}: {os.strerror(cause.errno)}")
        return None


_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


class KeyMaterialError(SecretError, ValueError):
    """The stored text is no key of the wanted length, or a key is used in a way it can't be."""

    code = "SML-210"
    remedy = (
        "Make a key of the wanted length with `secureml keys generate-key`, or name its "
        "encoding (hex:, base64:)."
    )


class KeyDisabledError(SecretError):
    """This version of the key is disabled; enable it again, or use another version on purpose."""

    code = "SML-211"
    remedy = "Enable the version with `secureml keys enable`, or use another one."


class KeyRolledBackError(SecretError):
    """Vault has an older version of a key than was seen, or another key under the same number.

    It was restored from a backup, or another cluster answers. Let Vault have the newer data again,
    or confirm by ``accept_rollback`` that the versions which were there are lost.
    """

    code = "SML-212"
    remedy = (
        "Let Vault have its newer data again, or confirm the loss with `secureml keys accept- "
        "rollback`."
    )


class SecretExistsError(SecretError):
    """Something is stored under this name already, or another writer was first."""

    code = "SML-203"
    remedy = "Use `rotate` or another name, as nothing is overwritten. After a race, read again."


class PseudonymizationError(SecureMLError, ValueError):
    """The table can't be pseudonymized or recovered as asked."""

    code = "SML-400"
    remedy = "The message says which column or argument can't be used, and why."


class ArgumentError(PseudonymizationError):
    """An argument can't be used; nothing was done.

    ``argument`` is its name, and ``problem`` what is wrong with it.
    """

    code = "SML-401"
    remedy = "Correct the argument as the message says."

    def __init__(self, message: str, *, argument: str = "", problem: str = "") -> None:
        super().__init__(message)
        self.argument = argument
        self.problem: str = problem or message

    @classmethod
    def of(cls, argument: str, problem: str, given: str = "") -> ArgumentError:
        """Name the argument.

        Args:
            argument: its name.
            problem: what is wrong with it, as the rest of a sentence.
            given: what follows the name: its value or the place in it, such as ``['ssn']``.
        """
        return cls(
            f"{argument}{given} {problem}",
            argument=argument,
            problem=f"{given.removeprefix('=')} {problem}".strip(),
        )


class DomainTooSmallError(PseudonymizationError):
    """A value has fewer possible pseudonyms than format-preserving encryption allows.

    SP 800-38G Rev. 1 requires a domain of at least 1,000,000. ``places`` are the rows of the table
    that hold such values, counted from 0.
    """

    code = "SML-402"
    remedy = "Choose small_domain='token', 'permute' or 'null' for the column, or strategy='token'."

    def __init__(
        self,
        message: str,
        *,
        column: str = "",
        domain_size: int = 0,
        rows: int = 0,
        places: Sequence[int] = (),
    ) -> None:
        super().__init__(message)
        self.places = places
        self.column = column
        self.domain_size = domain_size
        self.rows = rows


class InvalidValueError(PseudonymizationError):
    """Values are not of the format that their column is to have.

    ``places`` are the rows of the table that hold such values, counted from 0.
    """

    code = "SML-403"
    remedy = "Correct the values, or choose on_invalid='token' or 'null' for the column."

    def __init__(
        self, message: str, *, column: str = "", rows: int = 0, places: Sequence[int] = ()
    ) -> None:
        super().__init__(message)
        self.places = places
        self.column = column
        self.rows = rows


class ManifestError(PseudonymizationError):
    """The manifest is missing, is not one, or does not fit; the children say what it is not."""

    code = "SML-410"
    remedy = "Pass the manifest that anonymize made with this table."


class ManifestChangedError(ManifestError):
    """The manifest is not as it was made; take the one that was kept with the table."""

    code = "SML-411"
    remedy = "Take the manifest from where it was kept unchanged."


class WrongKeyError(ManifestError):
    """The key that was found is not the one of the manifest; look for that one."""

    code = "SML-412"
    remedy = "Use the Vault and the environment in which the table was made."


class WrongTableError(ManifestError):
    """The manifest is of another table or of other rows; take the one made with these."""

    code = "SML-413"
    remedy = "Pass the manifest of this table; merge_manifests makes one of several tables."


class DatabaseError(SecureMLError):
    """A database can't be reached, refuses what is asked of it, or the connection was lost.

    Nothing was changed, unless the message says that it can't be known.
    """

    code = "SML-500"
    remedy = "Do what the message says about the database or its rights, and run the job again."


class MissingExtraError(SecureMLError, ImportError):
    """An optional package is not installed; the message holds the install lines."""

    code = "SML-002"
    remedy = "Run the install line in the message."

    @classmethod
    def of(cls, extra: str, purpose: str) -> MissingExtraError:
        """Name the extra and the line that installs it.

        Args:
            extra: the extra's name in the package's metadata.
            purpose: what it is needed for, as the start of a sentence.
        """
        return cls(
            f"{purpose} needs an extra: pip install '.[{extra}]' in a clone of secureml; once it is"
            f" published, pip install 'secureml[{extra}]'"
        )


class SecureMLWarning(UserWarning):
    """The root of secureml's warnings.

    The text of each kind is always the same, as Python remembers every text that was shown.
    ``details`` tells what this one is about; so does the logger ``secureml.warnings``.
    """

    def __init__(self, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class FallbackWarning(SecureMLWarning):
    """A secret came from a weaker source than configured, because Vault was unavailable."""


class InsecureConnectionWarning(SecureMLWarning):
    """Tokens and secrets travel over the network in the clear."""


class IgnoredSettingWarning(SecureMLWarning):
    """Something looks like a setting and sets none: a variable, or a file that is not read."""


class ExposedSecretWarning(SecureMLWarning):
    """A secret lies where others may read it: in a settings file, or in a file open to all."""


class IrreversibleWarning(SecureMLWarning):
    """Some columns were replaced for good and stay as they are."""


class UncheckedTableWarning(SecureMLWarning):
    """The manifest was made before the rows were read, and can't tell whether they are its own."""


class UncheckedVersionWarning(SecureMLWarning):
    """The manifest, of an earlier schema, can't check the rows of an older key version."""


class MissingColumnWarning(SecureMLWarning):
    """Pseudonymized columns that the manifest names are not in the table, or renamed."""


class DevelopmentKeyWarning(SecureMLWarning):
    """A development default was handed out; it is public and protects nothing."""


_log = logging.getLogger("secureml.warnings")
# The warning itself is shown; its details appear if the application has set up a log.
_log.addHandler(logging.NullHandler())


def warn(message: str, category: type[SecureMLWarning], details: str = "") -> None:
    """Warn, on the line of the caller's own code that called into secureml.

    Args:
        message: what to warn of; a constant, or one of as few texts as there are settings.
        category: the kind of warning.
        details: the names, places and times of this one, as a sentence of its own; none by default.
    """
    _log.warning("%s", details or message)
    level = 1
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("secureml."):
        frame = frame.f_back
        level += 1
    warnings.warn(category(message, details=details), stacklevel=level)
