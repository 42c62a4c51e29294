"""Every public call with its arguments wrong in turn: no report of the error shows a secret one.

What is tried follows from the signatures, so that a new call or argument is tried as well: each
argument that is not listed here as plain holds the canary.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

import secureml
from secureml.configuration.process import reset
from secureml.errors import AccessDeniedError, VaultSealedError, VaultUnavailableError
from secureml.key_management import KeyManager
from secureml.secret_types import SecretValue
from secureml.settings import SETTINGS, Settings
from secureml.stores import MemoryStore, Record, SecretStore

PLAIN = {
    *(
        "self",
        "name",
        "key_name",
        "version",
        "highest",
        "key_bytes",
        "encoding",
        "purpose",
        "confirm",
    ),
    *(
        "rotation_period",
        "new_material",
        "now",
        "callback",
        "other",
        "default",
        "envelope",
        "manager",
    ),
    *("use_env_fallback", "use_default_fallback", "environment", "settings", "store", "clock"),
    *("chance", "environments", "files", "origins", "export", "public_key", "transit_key"),
    *(setting.name for setting in SETTINGS if not setting.secret),
} - {"vault_url", "vault_proxy"}
"""Arguments that hold no secret: messages may repeat them."""

TABLES = {"anonymize", "merge_manifests", "preview", "reidentify", "rekey"}
"""Calls that take tables; they get keys from a manager, and no argument of theirs holds one."""

SHAPES: dict[str, Callable[[Callable[[], bytes]], object]] = {
    "text": lambda material: material().hex(),
    "octets": lambda material: material(),
    "a bytearray": lambda material: bytearray(material()),
    "a number": lambda material: int.from_bytes(material(), "big"),
    "a list": lambda material: [material().hex()],
    "a tuple": lambda material: ("a", (material().hex(),)),
    "nested fields": lambda material: {"a": {"b": [{"c": material().hex()}]}},
    "fields of another kind of name": lambda material: {5: material().hex()},
    "text of two lines": lambda material: f"{material().hex()}\n{material().hex()}",
}

WRONG: dict[str, dict[str, object]] = {
    "nothing else": {},
    "an unknown keyword": {"nope": 1},
    "a name that can't be": {"name": "a/../b"},
    "a name of the wrong type": {"name": 7},
    "an empty purpose": {"purpose": ""},
    "a purpose of the wrong type": {"purpose": object()},
    "an unknown encoding": {"encoding": "rot13"},
    "an impossible length": {"key_bytes": -1},
    "a length of the wrong type": {"key_bytes": "32"},
    "an impossible period": {"rotation_period": "soon"},
    "an impossible environment": {"environment": "nowhere"},
    "an environment of the wrong type": {"environment": 7},
    "a missing file": {"files": ["missing.toml"]},
    "files of the wrong type": {"files": 7},
    "finished settings too": {"settings": Settings()},
    "settings of the wrong type": {"settings": 7, "vault_url": None},
    "an impossible address": {"vault_url": "ftp://vault.example.com"},
    "a fallback of the wrong type": {"use_env_fallback": "perhaps"},
    "an impossible timeout": {"vault_timeout": -1},
}


class FailingStore(MemoryStore):
    """Finds nothing, and fails to write as Vault does."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, name: str, fields: Any, *, cas: int | None) -> Record:
        raise self._error


STORES: dict[str, Callable[[], SecretStore]] = {
    "a store": MemoryStore,
    "denied": lambda: FailingStore(AccessDeniedError("denied")),
    "unreachable": lambda: FailingStore(VaultUnavailableError("down")),
    "sealed": lambda: FailingStore(VaultSealedError("sealed")),
}


def module_function(name: str) -> Callable[[KeyManager], Callable[..., object]]:
    return lambda _: getattr(secureml, name)


def method(name: str) -> Callable[[KeyManager], Callable[..., object]]:
    return lambda manager: getattr(manager, name)


def coroutine(name: str) -> Callable[[KeyManager], Callable[..., object]]:
    def of(manager: KeyManager) -> Callable[..., object]:
        method = getattr(secureml.AsyncKeyManager(manager=manager), name)

        @functools.wraps(method)
        def call(**arguments: Any) -> object:
            calling = SecretValue(arguments)
            del arguments
            return asyncio.run(method(**calling.reveal()))

        return call

    return of


def opening(_: KeyManager) -> Callable[..., object]:
    @functools.wraps(secureml.AsyncKeyManager)
    def call(**arguments: Any) -> object:
        calling = SecretValue(arguments)
        del arguments
        return asyncio.run(secureml.AsyncKeyManager(**calling.reveal()).manager())

    return call


CALLS: dict[str, Callable[[KeyManager], Callable[..., object]]] = {
    **{name: module_function(name) for name in secureml.__all__ if name not in TABLES},
    "AsyncKeyManager": opening,
    **{
        f"AsyncKeyManager.{name}": coroutine(name)
        for name in ("set_secret", "import_key", "derive_key", "read_export")
    },
    **{
        f"KeyManager.{name}": method(name)
        for name, member in inspect.getmembers(KeyManager)
        if not name.startswith("_") and callable(member)
    },
    "Settings": lambda _: Settings,
}


def secret_parameters(call: Callable[..., object]) -> list[str]:
    """The parameters that hold the canary in turn, settings and a slip among them."""
    parameters = inspect.signature(call).parameters
    named = [
        name
        for name, each in parameters.items()
        if name not in PLAIN and each.kind is not each.VAR_KEYWORD
    ]
    others = [setting.name for setting in SETTINGS if setting.secret]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return list(dict.fromkeys([*named, *(others if takes_any else ()), "vault_tokn"]))


def attempts(call: Callable[..., object]) -> Iterator[tuple[str, str, str]]:
    """Every shape of the canary where little else is wrong, and all that may be beside two."""
    for parameter in secret_parameters(call):
        for shape in SHAPES:
            for wrong in WRONG:
                few = wrong in {"nothing else", "an unknown keyword", "an impossible environment"}
                if few or shape in {"text", "nested fields"}:
                    yield parameter, shape, wrong


def arguments_of(
    call: Callable[..., object], parameter: str, value: object, wrong: str
) -> dict[str, object]:
    """The arguments of one attempt: those that are needed, a wrong one, and the canary."""
    parameters = inspect.signature(call).parameters
    fitting = {"name": "new", "purpose": "p", "version": 1, "confirm": "0" * 16}
    needed = {
        name: fitting.get(name)
        for name, each in parameters.items()
        if each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    }
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    more = {
        name: content
        for name, content in WRONG[wrong].items()
        if name in parameters or takes_any or name == "nope"
    }
    return needed | more | {parameter: value}


@pytest.mark.parametrize("name", CALLS)
def test_no_argument_of_a_public_call_is_shown_by_its_error(scene, detector, lines_of, name):
    told: dict[str, tuple[str, ...]] = {}
    for kind, store in STORES.items():
        # Where nothing is written, another store makes no difference.
        if kind != "a store" and name not in {"KeyManager.set_secret", "KeyManager.import_key"}:
            continue
        call = CALLS[name](KeyManager(store=store(), environment="development"))
        for parameter, shape, wrong in attempts(call):
            arguments = arguments_of(call, parameter, SHAPES[shape](scene.material), wrong)
            error = error_of(call, arguments)
            if error is not None:
                told |= dict.fromkeys(lines_of(error), (kind, parameter, shape, wrong))
            reset()
    assert told
    if detector.spellings_in("\n".join(told)):
        pytest.fail("\n".join(f"{told[line]}: {line}" for line in told if shows(detector, line)))


def error_of(call: Callable[..., object], arguments: dict[str, object]) -> Exception | None:
    """The error of a call, without this function's own frame, which holds the arguments."""
    try:
        returned = call(**arguments)
        if isinstance(returned, AbstractContextManager):
            with returned:
                pass
    except Exception as error:
        trace = error.__traceback__
        return error.with_traceback(trace and trace.tb_next)
    return None


def shows(detector, line: str) -> bool:
    return bool(detector.spellings_in(line))
