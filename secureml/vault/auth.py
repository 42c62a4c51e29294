"""How a session proves to Vault who it is; each method is one class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from secureml.concealed import SecretText
from secureml.errors import AuthenticationError, ConfigurationError
from secureml.settings import Settings

if TYPE_CHECKING:
    import hvac

__all__ = ["AuthMethod", "TokenAuth", "auth_from"]

_LONGEST_TOKEN = 64 * 1024


class AuthMethod(ABC):
    """One way to obtain a token."""

    @abstractmethod
    def login(self, client: hvac.Client) -> SecretText:
        """Obtain a token; credentials are read anew at every call.

        Args:
            client: a client without a token, for methods that ask Vault.

        Raises:
            AuthenticationError: the credentials are missing or not accepted.
        """


class TokenAuth(AuthMethod):
    """Uses a token that was given, or the one that a file holds at the time.

    Args:
        token: the token; it wins over the file.
        file: the file's path.
    """

    def __init__(self, token: SecretText | None, file: Path | None) -> None:
        self._token = token
        self._file = file

    def login(self, client: hvac.Client) -> SecretText:
        """Return the token."""
        if self._token is not None:
            return _checked(self._token, "vault_token")
        if self._file is not None:
            return _checked(_read(self._file), "the file that vault_token_file names")
        raise AuthenticationError(
            "no Vault token is set: export SECUREML_VAULT_TOKEN, or name a file that holds one in "
            "vault_token_file ('secureml keys configure-vault' does that)"
        )


def auth_from(settings: Settings) -> AuthMethod:
    """Make the method that ``vault_auth`` names.

    Args:
        settings: the settings.

    Raises:
        ConfigurationError: the method is not known.
    """
    if settings.vault_auth == "token":
        file = settings.vault_token_file
        return TokenAuth(settings.vault_token, Path(file).expanduser() if file else None)
    raise ConfigurationError(f"vault_auth {settings.vault_auth!r} is not known; use 'token'")


def _read(file: Path) -> SecretText:
    problem = ""
    try:
        with file.open("rb") as stream:
            return SecretText(stream.read(_LONGEST_TOKEN).decode("ascii").strip())
    except OSError as error:
        problem = error.strerror or "it can't be read"
    except UnicodeDecodeError:
        problem = "it holds no token"
    raise AuthenticationError(f"vault_token_file {str(file)!r}: {problem}")


def _checked(token: SecretText, where: str) -> SecretText:
    content = token.reveal()
    if not content:
        raise AuthenticationError(f"the token in {where} is empty")
    if not content.isascii() or not content.isprintable() or " " in content:
        raise AuthenticationError(f"the token in {where} holds characters that no token has")
    return token
