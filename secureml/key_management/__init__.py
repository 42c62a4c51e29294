"""Keys and secrets under a policy that fails closed: Vault, then variables, then defaults.

Sources report what they found; what follows from it is decided here and nowhere else.
"""

from secureml.key_management.default import (
    configure_default_key_manager,
    get_default_key_manager,
    get_encryption_key,
)
from secureml.key_management.manager import KeyManager
from secureml.key_management.records import SecretInfo
from secureml.keys import Envelope, Key, KeyInfo
from secureml.keys.export import KeyExport

__all__ = [
    "Envelope",
    "Key",
    "KeyExport",
    "KeyInfo",
    "KeyManager",
    "SecretInfo",
    "configure_default_key_manager",
    "get_default_key_manager",
    "get_encryption_key",
]
