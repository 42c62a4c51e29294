"""Change what Vault answers, one member at a time, and look for what breaks.

Each input is one operation on a real server, behind a relay that changes one of its answers: a
member gets another type or is missing, or the whole answer is something else. What may happen: the
operation succeeds, or an error of ``secureml.errors`` says that it did not. No error may show a
token or what Vault said, neither in its text nor in a variable of its traceback.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import hvac

import secureml
from secureml import KeyManager
from secureml.cli.diagnosis import inspect
from secureml.errors import SecureMLError
from secureml.keys import Envelope, Key, KeyInfo
from secureml.settings import Settings
from secureml.vault.client.session import VaultSession
from secureml.vault.connection_check import check_connection
from secureml.vault.devserver.server import DevServer
from secureml.vault.setup.bootstrap import Bootstrap
from secureml.vault.setup.policies import KeyLayout

__all__ = ["AnswerFuzzer", "Leak", "serving"]

NEVER = 10**9

SAID = "canary said \x1b[31m"
KEY = "c0ffee" * 10 + "cafe"
SECRETS = (SAID, KEY, "canary-stored-value", "canary-password")

DEEP, FAR, ENDLESS, LONG = "@deep@", "@far@", "@endless@", "@long@"
WRITTEN = {DEEP: "[" * 100_000, FAR: "1" + "0" * 400, ENDLESS: "NaN", LONG: "9" * 5000}
"""What json.dumps does not write, by what stands for it."""

JUNK: list[Any] = [
    *(None, True, False, "", SAID, "\ud800", -1, 0, 1, 2**63, 1.5, 1e308),
    *([], [SAID], [None], [{}], {}, {"x": SAID}, {"1": None}, {"1": {}}, {"٣": {}}),
    *("2026-01-01T00:00:00", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"),
    *WRITTEN,
]
BODIES = [
    b"",
    b"null",
    b"[]",
    b'"' + SAID.encode() + b'"',
    b"<html>" + SAID.encode(),
    b"[" * 100_000,
    b'{"data":' * 100_000,
    b'{"data": "\\ud800"}',
    b'{"data": "\xed\xa0\x80"}',
    b"\xff\xfe{\x00}\x00",
]
STATUSES = [200, 204, 206, 301, 307, 400, 401, 403, 404, 405, 412, 418, 429, 472, 500, 503, 599]
HEADERS = [
    ("Location", "http://a..b/"),
    ("Location", "http://[::1"),
    ("Retry-After", "9" * 400),
    ("Content-Encoding", "gzip"),
    ("Content-Encoding", "gzip, gzip, deflate"),
]
UNREAD = frozenset(
    {"lease_id", "lease_duration", "wrap_info", "warnings", "mount_type", "renewable", "auth"}
)
"""Members at the top of most answers that nobody reads there."""

SHOWN = frozenset({"keys", "version", "leader_address", "path", "policies", "identity_policies"})
"""Names, which may stand in a message."""


class Leak(Exception):
    """An error shows what it must not."""


@dataclass
class Reply:
    """An answer on its way."""

    status: int
    headers: list[tuple[str, str]]
    content: bytes


class Relay(ThreadingHTTPServer):
    """Passes requests to a server, and changes the answer to one of them."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.upstream = url.removeprefix("http://")
        self.change: Callable[[Reply], object] = str
        self.wait = 0
        self.asked = 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def arm(self, wait: int, change: Callable[..., object]) -> None:
        """Change the answer that comes after so many others."""
        self.wait, self.change, self.asked = wait, change, 0

    def passed(self, reply: Reply) -> None:
        if self.asked == self.wait:
            self.change(reply)
        self.asked += 1

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a client may break off an answer."""


class Passing(BaseHTTPRequestHandler):
    """Passes one request on."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Relay

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.pass_on
        raise AttributeError(name)

    def pass_on(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=10)
        upstream.request(self.command, self.path, content, dict(self.headers.items()))
        answer = upstream.getresponse()
        kept = [("Content-Type", answer.headers.get("Content-Type", "application/json"))]
        reply = Reply(answer.status, kept, answer.read())
        upstream.close()
        self.server.passed(reply)
        self.send_response(reply.status)
        for header in reply.headers:
            self.send_header(*header)
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@dataclass
class AnswerFuzzer:
    """Changes answers.

    Args:
        server: the real server.
        relay: stands before it.
        login: the role ID and secret ID of an AppRole.
    """

    server: DevServer
    relay: Relay
    login: Mapping[str, str]
    answers: dict[str, int] = field(default_factory=dict)

    def throw(self, random: Random, number: object) -> str:
        """Carry out one operation with one answer changed.

        Args:
            random: what is chosen with.
            number: of the input; what is written is written to a place of its own.

        Returns:
            ``recovered`` if the operation succeeded, ``refused`` if an error says that not.

        Raises:
            Exception: what should not have come out.
        """
        operation = random.choice(list(OPERATIONS))
        if operation not in self.answers:
            self.answers[operation] = self._counted(operation)
        changed: list[str] = []
        wait = random.randrange(self.answers[operation])
        try:
            with OPERATIONS[operation](self, number) as act:
                self.relay.arm(wait, lambda reply: changed.append(_change(reply, random)))
                act()
        except SecureMLError as error:
            secrets = {self.server.root_token.reveal(), self.login["secret_id"], *SECRETS}
            if changed and changed[0] in SHOWN:
                secrets.discard(SAID)
            leak = _leak(error, secrets)
        else:
            return "recovered"
        if leak:
            raise Leak(f"{operation}, {changed}: {leak}")
        return "refused"

    def _counted(self, operation: str) -> int:
        """Count the answers that an operation takes."""
        with OPERATIONS[operation](self, f"c{list(OPERATIONS).index(operation)}") as act:
            self.relay.arm(NEVER, _change)
            act()
            return self.relay.asked

    @contextmanager
    def manager(self, environment: str = "staging", **more: Any) -> Iterator[KeyManager]:
        """Make a key manager that goes through the relay."""
        more = {"vault_token": self.server.root_token, "vault_timeout": 1, "cache_ttl": 0, **more}
        url = self.relay.url
        manager = KeyManager(url, use_env_fallback=False, environment=environment, **more)
        try:
            yield manager
        finally:
            # The login's end is no part of the operation.
            self.relay.wait = NEVER
            with suppress(SecureMLError):
                manager.close()

    def settings(self, **more: Any) -> Settings:
        """Return settings that lead through the relay."""
        token = {"vault_token": self.server.root_token}
        more = {"vault_url": self.relay.url, "vault_timeout": 1, **token, **more}
        return Settings(environment="staging", master_key_name="key", **more)


_Operation = Callable[["AnswerFuzzer", object], Any]


def _reading(call: Callable[[KeyManager], object], **more: Any) -> _Operation:
    """Make an operation on what is stored."""

    @contextmanager
    def operation(fuzzer: AnswerFuzzer, _: object) -> Iterator[Callable[[], object]]:
        with fuzzer.manager(**more) as manager:
            yield lambda: call(manager)

    return operation


def _writing(
    call: Callable[[KeyManager, KeyInfo], object], backend: str = "kv", size: int = 32
) -> _Operation:
    """Make an operation on a key that was generated for it."""

    @contextmanager
    def operation(fuzzer: AnswerFuzzer, place: object) -> Iterator[Callable[[], object]]:
        with fuzzer.manager(vault_path=f"w-{place}", key_backend=backend) as manager:
            fuzzer.relay.arm(NEVER, _change)
            key = manager.generate_key("key", key_bytes=size)
            yield lambda: call(manager, key)

    return operation


def _making(call: Callable[[AnswerFuzzer], object]) -> _Operation:
    """Make an operation that needs no key manager."""

    @contextmanager
    def operation(fuzzer: AnswerFuzzer, _: object) -> Iterator[Callable[[], object]]:
        yield lambda: call(fuzzer)

    return operation


@contextmanager
def _approle(
    fuzzer: AnswerFuzzer, _: object, *, wrapped: bool = False
) -> Iterator[Callable[[], object]]:
    secret_id = fuzzer.login["secret_id"]
    if wrapped:
        client = hvac.Client(fuzzer.server.url, token=fuzzer.server.root_token.reveal())
        made = client.write_data("auth/approle/role/r/secret-id", wrap_ttl="60s")
        secret_id = made["wrap_info"]["token"]
    login = {"vault_role_id": fuzzer.login["role_id"], "vault_secret_id": secret_id}
    more = {"vault_auth": "approle", "vault_secret_id_wrapped": wrapped, "vault_token": None}
    with fuzzer.manager(**login, **more) as manager:
        yield lambda: manager.get_encryption_key("key")


@contextmanager
def _renewed(fuzzer: AnswerFuzzer, _: object) -> Iterator[Callable[[], object]]:
    now = [0.0]
    settings = fuzzer.settings(vault_token=None, **USERPASS)
    session = VaultSession(settings, clock=lambda: now[0])
    fuzzer.relay.arm(NEVER, _change)
    session.lookup_self()

    def act() -> None:
        now[0] = 1e6
        session.lookup_self()

    yield act


def _bootstrap(fuzzer: AnswerFuzzer) -> Bootstrap:
    layout = KeyLayout(
        mount="secret", path="secureml", environments=("staging",), transit="transit"
    )
    return Bootstrap(VaultSession(fuzzer.settings()), layout)


def _central(fuzzer: AnswerFuzzer) -> None:
    with fuzzer.manager(vault_settings=True) as manager:
        manager.get_encryption_key("key")


def _status(fuzzer: AnswerFuzzer) -> None:
    _raised(inspect(fuzzer.settings()).error)


def _tested(fuzzer: AnswerFuzzer) -> None:
    for check in check_connection(fuzzer.settings()):
        _raised(check.error)


USERPASS = {
    "vault_auth": "userpass",
    "vault_username": "user",
    "vault_password": "canary-password",
}
OPERATIONS: Mapping[str, _Operation] = {
    "get_secret": _reading(lambda manager: manager.get_secret("text")),
    "get_secret, fields": _reading(lambda manager: manager.get_secret("fields")),
    "secret_info": _reading(lambda manager: manager.secret_info("text")),
    "get_key": _reading(lambda manager: manager.get_key("key")),
    "get_key, version": _reading(lambda manager: manager.get_key("key", 1)),
    "get_key, wrapped": _reading(lambda manager: manager.get_key("wrapped")),
    "get_key, userpass": _reading(
        lambda manager: manager.get_key("key"), vault_token=None, **USERPASS
    ),
    "get_key, namespace": _reading(
        lambda manager: manager.get_secret("key", ""), vault_namespace="team"
    ),
    "get_key, approle": _approle,
    "get_key, wrapped approle": partial(_approle, wrapped=True),
    "get_key, central settings": _making(_central),
    "key_info": _reading(lambda manager: manager.key_info("key")),
    "key_history": _reading(lambda manager: manager.key_history("key")),
    "list_keys": _reading(lambda manager: manager.list_keys()),
    "rotate_due": _reading(lambda manager: manager.rotate_due()),
    "set_secret": _writing(lambda manager, _: manager.set_secret("text", "new")),
    "generate_key": _writing(lambda manager, _: manager.generate_key("another")),
    "import_key": _writing(lambda manager, _: manager.import_key("another", "5e" * 32)),
    "rotate_key": _writing(lambda manager, _: manager.rotate_key("key")),
    "rotate_key, twice": _writing(
        lambda manager, _: [manager.rotate_key("key"), manager.get_key("key")]
    ),
    "set_rotation_period": _writing(lambda manager, _: manager.set_rotation_period("key", 90)),
    "disable": _writing(lambda manager, _: manager.disable_key_version("key", 1)),
    "destroy": _writing(
        lambda manager, key: manager.destroy_key_version("key", 1, key.fingerprint)
    ),
    "generate_key, transit": _writing(
        lambda manager, _: manager.generate_key("another"), "transit"
    ),
    "import_key, transit": _writing(
        lambda manager, _: manager.import_key("another", "5e" * 32), "transit"
    ),
    "rotate_key, transit": _writing(lambda manager, _: manager.rotate_key("key"), "transit"),
    "rotate_key, new transit": _writing(
        lambda manager, _: manager.rotate_key("key", new_material=True), "transit"
    ),
    "rewrap_key": _writing(
        lambda manager, _: manager.rewrap_key(_envelope_of(manager.get_key("key")), "key"),
        "transit",
    ),
    "renewal": _renewed,
    "seal_status": _making(lambda fuzzer: VaultSession(fuzzer.settings()).seal_status()),
    "bootstrap plan": _making(lambda fuzzer: _bootstrap(fuzzer).plan()),
    "bootstrap audit": _making(lambda fuzzer: _bootstrap(fuzzer).audit_devices()),
    "vault status": _making(_status),
    "test connection": _making(_tested),
}


@contextmanager
def serving() -> Iterator[AnswerFuzzer]:
    """Start a server with keys and logins, and the relay before it."""
    with tempfile.TemporaryDirectory() as folder, DevServer(Path(folder) / "bao") as server:
        client = hvac.Client(server.url, token=server.root_token.reveal())
        client.sys.enable_auth_method("userpass")
        client.sys.enable_auth_method("approle")
        client.sys.enable_secrets_engine("transit")
        rules = 'path "*" { capabilities = ["create", "read", "update", "list", "patch"] }'
        client.sys.create_or_update_policy("use", rules)
        client.auth.userpass.create_or_update_user("user", "canary-password", ["use"])
        client.auth.approle.create_or_update_approle("r", token_policies=["use"])
        login = {
            "role_id": client.auth.approle.read_role_id("r")["data"]["role_id"],
            "secret_id": client.auth.approle.generate_secret_id("r")["data"]["secret_id"],
        }
        relay = Relay(server.url)
        fuzzer = AnswerFuzzer(server, relay, login)
        with fuzzer.manager() as manager:
            manager.set_secret("text", "canary-stored-value")
            manager.set_secret("fields", {"a": "canary-stored-value", "b": [1, {"c": "x"}]})
            manager.import_key("key", KEY)
        record = {"data": {"cache_ttl": "1"}}
        client.write_data("secret/data/secureml/staging/settings", data=record)
        with fuzzer.manager(key_backend="transit") as manager:
            manager.generate_key("wrapped")
        try:
            yield fuzzer
        finally:
            relay.shutdown()
            relay.server_close()


def _change(reply: Reply, random: Random) -> str:
    """Change an answer; return the name of the member that was changed."""
    kind = random.random()
    if kind < 0.05:
        reply.content = random.choice(BODIES)
        return "body"
    if kind < 0.1:
        reply.status = random.choice(STATUSES)
        return "status"
    if kind < 0.12:
        reply.headers.append(random.choice(HEADERS))
        return "headers"
    try:
        answer = json.loads(reply.content)
    except ValueError:
        reply.content = random.choice(BODIES)
        return "body"
    places = [
        place for place in _places(answer) if place[0] is not answer or place[1] not in UNREAD
    ]
    places += [(answer, "auth")] if answer.get("auth") else []
    holder, name = random.choice(places)
    if random.random() < 0.15:
        del holder[name]
    else:
        holder[name] = random.choice(JUNK)
    text = json.dumps(answer)
    for sign, written in WRITTEN.items():
        text = text.replace(f'"{sign}"', written)
    reply.content = text.encode()
    return str(name)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Go through every member of every object and list."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for name, member in members:
        yield value, name
        if isinstance(member, dict | list):
            yield from _places(member)


def _envelope_of(key: Key) -> Envelope:
    assert key.envelope is not None
    return key.envelope


def _raised(error: Exception | None) -> None:
    if error is not None:
        raise error


def _leak(error: BaseException, secrets: set[str]) -> str:
    """Say where an error shows a secret; empty where it does not."""
    shown = {"text": [str(error), repr(error), repr(vars(error))]}
    if error.__context__ is not None or error.__cause__ is not None:
        shown["cause"] = [repr(error.__context__), repr(error.__cause__)]
    package = str(Path(secureml.__file__).parent)
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(package):
            place = f"{Path(frame.f_code.co_filename).name}:{line}"
            for name, value in frame.f_locals.items():
                shown[f"{name} in {place}"] = [repr(value)]
    return ", ".join(
        place
        for place, texts in shown.items()
        if any(secret in text or repr(secret)[1:-1] in text for secret in secrets for text in texts)
    )
