"""secureml: pseudonymize tables with keys from HashiCorp Vault or OpenBao.

Importing this package reads no file, opens no socket and loads none of its dependencies: each
name below is loaded when it is first used (PEP 562).

PYTEST_DONT_REWRITE: pytest, whose plug-in is ``testing``, may start in a program that uses it.
"""

from __future__ import annotations

import atexit
import importlib
import sys
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "AsyncKeyManager",
    "KeyManager",
    "Pseudonymizer",
    "anonymize",
    "configure",
    "configure_default_key_manager",
    "get_encryption_key",
    "get_settings",
    "merge_manifests",
    "override",
    "preview",
    "reidentify",
    "rekey",
    "reset",
]

if TYPE_CHECKING:
    from secureml.anonymization import (
        Pseudonymizer,
        anonymize,
        merge_manifests,
        preview,
        reidentify,
        rekey,
    )
    from secureml.configuration.process import configure, get_settings, override, reset
    from secureml.key_management import (
        KeyManager,
        configure_default_key_manager,
        get_encryption_key,
    )
    from secureml.key_management.asynchronous import AsyncKeyManager

_MODULES = {
    "AsyncKeyManager": "key_management.asynchronous",
    "KeyManager": "key_management",
    "Pseudonymizer": "anonymization",
    "anonymize": "anonymization",
    "configure": "configuration",
    "configure_default_key_manager": "key_management",
    "get_encryption_key": "key_management",
    "get_settings": "configuration",
    "merge_manifests": "anonymization",
    "override": "configuration",
    "preview": "anonymization",
    "reidentify": "anonymization",
    "rekey": "anonymization",
    "reset": "configuration",
}


@atexit.register
def _end() -> None:
    """Give logins up; what was registered after this package was imported has run by then."""
    logins = sys.modules.get(f"{__name__}.vault.auth.shared")
    if logins is not None:
        logins.end()


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from secureml.forksafe import unforked

    with unforked():
        value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
