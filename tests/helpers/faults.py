"""Requests to a faulty Vault, and what must not be told of them."""

from __future__ import annotations

import json
import pickle
import traceback
from typing import Any

from secureml.settings import Layers, Settings, load_settings
from secureml.vault.client.session import VaultSession

__all__ = [
    "BODY",
    "FAILING",
    "FOUND",
    "SELF",
    "TOKEN",
    "asked",
    "assert_tells_nothing",
    "moved",
    "read",
    "settings_of",
    "value_of",
    "write",
]

TOKEN = "s.canary-token-7f3e"
BODY = "canary-body-2d81"
FOUND = {"body": b'{"data": {"data": {"value": "v"}, "metadata": {"version": 1}}}'}
FAILING = {"body": json.dumps({"errors": [BODY]}).encode()}
SELF = {"body": b'{"data": {"id": "x"}}'}


def settings_of(url: str, token: Any = TOKEN, **more: Any) -> Settings:
    environment = more.pop("environment", None)
    arguments = {"vault_url": url, "vault_token": token, "vault_timeout": 0.5, **more}
    return load_settings(Layers(environment=environment, arguments=arguments))


def asked(server: Any) -> int:
    """How many requests came; that about a token that was given, once it was used, is none."""
    return sum(b"lookup-self" not in request.partition(b"\r\n")[0] for request in server.received)


def read(session: VaultSession, path: str = "k") -> Any:
    return session.request("get", f"secret/data/{path}")


def value_of(session: VaultSession) -> Any:
    return read(session).data["data"]["value"]


def write(session: VaultSession, *, cas: int | None = None, path: str = "k") -> Any:
    body = {"options": {} if cas is None else {"cas": cas}, "data": {"value": "v"}}
    return session.request("post", f"secret/data/{path}", body=body, repeatable=cas is not None)


def assert_tells_nothing(error: BaseException, caplog: Any, *more_secrets: str) -> None:
    trace = traceback.TracebackException.from_exception(error)
    shown = [str(error), repr(error), "".join(trace.format()), caplog.text]
    shown += [repr(pickle.dumps(error)), repr(vars(error)), repr(error.args)]
    for secret in (TOKEN, BODY, *more_secrets):
        assert not any(secret in text for text in shown)
    assert error.__context__ is None
    assert error.__cause__ is None


def moved(url: str, status: str = "307 Moved") -> dict[str, str]:
    return {"status": status, "extra": f"Location: {url}/v1/secret/data/k\r\n"}
