"""Data keys wrapped by Vault's transit engine, each bound to its name and environment."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_bytes

from secureml.errors import ConfigurationError, KeyMaterialError
from secureml.keys import Envelope
from secureml.secret_types import SecretBytes
from secureml.settings import Settings, check_transit_key
from secureml.vault.client.session import VaultSession
from secureml.vault.client.transit import DATA_KEY_SIZES, TransitEngine

__all__ = ["Transit"]


class Transit:
    """Makes, wraps and unwraps the data keys of one environment.

    Every method raises a ``SecretError`` if Vault can't be asked or denies it.

    Args:
        session: the connection to Vault.
        settings: the mount, the transit key, the path and the environment.
    """

    def __init__(self, session: VaultSession, settings: Settings) -> None:
        self._engine = TransitEngine(session)
        self._mount = settings.vault_transit_mount
        self._one_key = settings.vault_transit_key
        self._folder = "/".join(filter(None, (settings.vault_path, settings.environment)))
        self._environment = settings.environment or ""

    def transit_key(self, name: str) -> str:
        """Return the transit key for a key, made if it is not there.

        Args:
            name: the key's name.

        Returns:
            The engine's mount and the transit key's name: ``vault_transit_key``, or the path of
            the key in Vault with dots for slashes, so that a policy can name a whole folder.

        Raises:
            ConfigurationError: no transit key can have this name, or the one that has it could
                leave Vault or would not bind a context.
        """
        key = self.name_of(name)
        self._engine.ensure_key(key)
        return key

    def name_of(self, name: str) -> str:
        """Return the name of the transit key for a key, whether it is there or not.

        Raises:
            ConfigurationError: no transit key can have this name.
        """
        return f"{self._mount}/{self._one_key or self._dotted(name)}"

    def make(self, name: str, size: int, transit_key: str) -> tuple[SecretBytes, Envelope]:
        """Make a data key.

        Args:
            name: the key's name, which it is bound to.
            size: its length in bytes; if Vault does not make keys of this length, the key is made
                here and wrapped there.
            transit_key: what to wrap it under.

        Returns:
            The data key, and the same wrapped.
        """
        if size not in DATA_KEY_SIZES:
            material = SecretBytes(token_bytes(size))
            return material, self.wrap(name, material, transit_key)
        material, wrapped = self._engine.data_key(transit_key, size, self._context(name))
        return material, Envelope(wrapped=wrapped, transit_key=transit_key)

    def wrap(self, name: str, material: SecretBytes, transit_key: str) -> Envelope:
        """Wrap a key that was made elsewhere."""
        wrapped = self._engine.encrypt(transit_key, material, self._context(name))
        return Envelope(wrapped=wrapped, transit_key=transit_key)

    def rotate(self, name: str, envelope: Envelope) -> None:
        """Give the transit key of a data key a new version, which wraps from now on.

        Args:
            name: the data key's name.
            envelope: the data key, wrapped.
        """
        self._engine.rotate_key(envelope.transit_key, envelope.transit_version)

    def rewrap(self, name: str, envelope: Envelope) -> Envelope:
        """Wrap a data key under the newest version of its transit key, without unwrapping it here.

        Raises:
            SecretError: as for ``unwrap``.
        """
        key = envelope.transit_key
        wrapped = self._engine.rewrap(key, envelope.wrapped, self._context(name))
        return Envelope(wrapped=wrapped, transit_key=key)

    def unwrap(
        self, name: str, envelope: Envelope, told: Callable[[str | None], None] | None = None
    ) -> SecretBytes:
        """Return a data key.

        Args:
            name: the data key's name.
            envelope: the data key, wrapped.
            told: is called with Vault's own id of the request.

        Raises:
            KeyDisabledError: its transit key does not decrypt so old a version any more.
            SecretDeletedError: its transit key is gone.
            KeyMaterialError: it is bound to another name or environment, or was changed.
            AccessDeniedError: the token may not decrypt with the transit key.
        """
        key = envelope.transit_key
        return self._engine.decrypt(key, envelope.wrapped, self._context(name), told)

    def check_mount(self, envelope: Envelope) -> None:
        """Refuse an envelope from elsewhere: what it says decides where a request is sent.

        Raises:
            KeyMaterialError: it names another mount than the settings do.
        """
        if envelope.mount != self._mount:
            raise KeyMaterialError(
                f"the wrapped key names the mount {envelope.mount!r}, and vault_transit_mount is "
                f"{self._mount!r}"
            )

    def _dotted(self, name: str) -> str:
        path = f"{self._folder}/{name}"
        problem = "." in path
        dotted = path.replace("/", ".")
        try:
            check_transit_key(dotted, "a transit key")
        except ConfigurationError:
            problem = True
        if problem:
            raise ConfigurationError(
                f"no transit key can be named after {path!r}: use letters of ASCII, digits, '_' "
                "and '-', or set vault_transit_key"
            )
        return dotted

    def _context(self, name: str) -> bytes:
        # No environment holds a slash, so that this text has one reading alone.
        return f"secureml/v1/{self._environment}/{name}".encode()
