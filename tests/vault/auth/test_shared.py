"""Logins and one-time credentials belong to the process, and no token outlives its use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

import secureml
from helpers.vault import Vault
from secureml import KeyManager, configure, get_encryption_key, get_settings, override
from secureml.errors import AuthenticationError, SecretError
from secureml.secret_types import SecretText
from secureml.settings import Layers, load_settings
from secureml.vault.auth import AuthMethod, Login, auth_from
from secureml.vault.client.session import VaultSession

KEY = "5a" * 32
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")


@dataclass
class App:
    """A role whose logins may read all; ``tokens()`` are those that its logins have left."""

    vault: Any
    admin: Any
    known: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.known = frozenset(self._accessors())

    def _accessors(self) -> set[str]:
        return set(self.admin.auth.token.list_accessors()["data"]["keys"])

    def tokens(self) -> int:
        return len(self._accessors() - self.known)

    def role(self, **options: Any) -> None:
        self.admin.auth.approle.create_or_update_approle(
            "app", token_policies=["app"], token_ttl="600s", **options
        )

    def arguments(self, *, wrapped: bool = False, **more: Any) -> dict[str, Any]:
        """Arguments of a manager with a secret ID of its own."""
        approle = self.admin.auth.approle
        ttl = {"wrap_ttl": "60s"} if wrapped else {}
        answer = approle.generate_secret_id("app", **ttl)
        secret = answer["wrap_info"]["token"] if wrapped else answer["data"]["secret_id"]
        return {
            "vault_url": self.vault.url,
            "vault_namespace": self.vault.namespace,
            "vault_auth": "approle",
            "vault_role_id": approle.read_role_id("app")["data"]["role_id"],
            "vault_secret_id": secret,
            "vault_secret_id_wrapped": wrapped,
            "use_env_fallback": False,
            **more,
        }

    def variables(self, **more: Any) -> dict[str, str]:
        """The same as environment variables, for another program."""
        given = {
            f"SECUREML_{name.upper()}": str(value) for name, value in self.arguments(**more).items()
        }
        return dict(os.environ) | given


@pytest.fixture
def app(vault: Vault) -> Iterator[App]:
    admin = vault.client()
    admin.sys.create_or_update_policy("app", 'path "secret/*" { capabilities = ["read", "list"] }')
    admin.sys.enable_auth_method("approle")
    for name in ("master_key", "other"):
        admin.secrets.kv.v2.create_or_update_secret(f"secureml/{name}", {"value": KEY})
    made = App(vault, admin)
    made.role()
    yield made
    secureml.reset()


@pytest.fixture
def program(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program with the settings in variables; it must end well, and in time."""

    def run(text: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = run_python(
            "-W", "ignore", "-c", textwrap.dedent(text), env=variables
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done

    return run


def test_managers_with_the_same_credentials_share_a_login_until_the_last_is_closed(
    app: App,
) -> None:
    arguments = app.arguments()
    first, second, third = (KeyManager(**arguments, cache_ttl=ttl) for ttl in (1, 2, 3))
    other = KeyManager(**app.arguments())
    for manager in (first, second, other):
        assert manager.get_encryption_key(encoding="hex") == KEY
    assert app.tokens() == 2
    first.close()
    assert app.tokens() == 2
    assert second.get_secret("other") == KEY
    second.close()
    assert app.tokens() == 1
    assert third.get_encryption_key(encoding="hex") == KEY
    third.close()
    other.close()
    assert app.tokens() == 0


def test_managers_share_a_login_if_they_differ_in_patience_but_not_if_in_the_hosts_they_trust(
    app: App,
) -> None:
    arguments = app.arguments()
    with KeyManager(**arguments) as one, KeyManager(**arguments, vault_timeout=4) as other:
        assert one.get_key().info.fingerprint == other.get_key().info.fingerprint
        assert app.tokens() == 1
        with KeyManager(**arguments, vault_cluster_hosts="elsewhere.test") as third:
            third.get_key()
            assert app.tokens() == 2


def test_dropped_managers_leave_no_token(app: App) -> None:
    for _ in range(30):
        KeyManager(**app.arguments()).get_key()
    assert app.tokens() == 0


def test_a_client_for_users_keeps_the_login_of_a_dropped_manager(app: App) -> None:
    reader = KeyManager(**app.arguments()).vault_client.secrets  # type: ignore[union-attr]
    answer = reader.kv.v2.read_secret_version("secureml/other", raise_on_deleted_version=True)
    assert answer["data"]["data"] == {"value": KEY}
    del reader
    assert app.tokens() == 0


def test_configuring_again_and_again_leaves_one_token_and_reset_none(app: App) -> None:
    arguments = app.arguments()
    for ttl in range(30):
        configure(**arguments, cache_ttl=ttl)
        assert get_encryption_key(encoding="hex") == KEY
        assert app.tokens() == 1
    for _ in range(10):
        configure(**app.arguments())
        get_encryption_key()
    assert app.tokens() == 1
    secureml.reset()
    assert app.tokens() == 0


def test_the_default_manager_leaves_no_token_at_a_normal_exit(app: App, program: Any) -> None:
    text = "import secureml; print(secureml.get_encryption_key(encoding='hex'))"
    assert program(text, app.variables()).stdout == f"{KEY}\n"
    assert app.tokens() == 0


@pytest.mark.parametrize("end", ["sys.exit(0)", "raise KeyboardInterrupt", "manager.close()"])
def test_no_exit_of_a_program_leaves_a_token_or_fails(app: App, run_python: Any, end: str) -> None:
    text = f"""
        import os, sys, types, secureml

        class Holder:
            def __init__(self):
                self.manager = secureml.KeyManager()
                self.manager.get_key()

            def __del__(self):
                try:
                    self.manager.close()
                except BaseException as error:
                    os.write(1, repr(error).encode())

        # Both end when nothing can be imported any more.
        sys.modules["last"] = types.ModuleType("last")
        sys.modules["last"].holder = Holder()
        in_a_cycle = Holder()
        in_a_cycle.itself = in_a_cycle
        manager = secureml.KeyManager()
        manager.get_key()
        {end}
    """
    done = run_python("-c", textwrap.dedent(text), env=app.variables())
    assert done.stdout == ""
    assert done.stderr == "" or done.stderr.endswith("\nKeyboardInterrupt\n")
    assert app.tokens() == 0


def test_an_exit_handler_of_a_program_may_still_read_keys(app: App, program: Any) -> None:
    app.role(secret_id_num_uses=1)
    text = """
        import atexit, secureml
        manager = secureml.KeyManager(cache_ttl=0)
        atexit.register(lambda: print(manager.get_key().name))
        manager.get_key()
    """
    assert program(text, app.variables()).stdout == "master_key\n"
    assert app.tokens() == 0


def test_a_thread_that_reads_through_the_end_of_a_program_leaves_no_token(
    app: App, program: Any
) -> None:
    text = """
        import threading, secureml
        manager = secureml.KeyManager(cache_ttl=0)
        manager.get_key()

        def read():
            while True:
                try:
                    manager.get_key()
                except secureml.errors.SecretError:
                    pass

        for _ in range(4):
            threading.Thread(target=read, daemon=True).start()
    """
    for _ in range(5):
        program(text, app.variables())
        assert app.tokens() == 0


def test_an_exit_while_vault_hangs_does_not_hang(app: App, relay: Any) -> None:
    way = relay(app.vault.url)
    text = """
        import secureml, sys
        secureml.get_encryption_key()
        print("read", flush=True)
        sys.stdin.readline()
    """
    variables = app.variables(vault_url=way.url, vault_timeout=1)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text)],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "read\n"
        way.drip = 60
        assert process.communicate("\n", timeout=30) == ("", "")
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


@forks
@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("Pool", "fork"),
        ("Pool", "forkserver"),
        ("ProcessPoolExecutor", "fork"),
        ("ProcessPoolExecutor", "spawn"),
        ("Process", "fork"),
    ],
)
def test_tasks_of_pools_leave_no_token(
    app: App, run_python: Any, tmp_path: Any, method: str, kind: str
) -> None:
    file = tmp_path / "pools.py"
    file.write_text(textwrap.dedent(POOLS))
    done = run_python("-W", "ignore", str(file), method, kind, env=app.variables())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "40\n"
    assert app.tokens() == 0


POOLS = """
    import concurrent.futures, multiprocessing, sys
    import secureml

    kept = []

    def task(number):
        kept.append(secureml.KeyManager(cache_ttl=number))
        return kept[-1].get_encryption_key(encoding="hex")

    if __name__ == "__main__":
        method, kind = sys.argv[1:]
        context = multiprocessing.get_context(method)
        found = [task(0)]
        if kind == "Pool":
            pool = context.Pool(2)
            found += pool.map(task, range(39))
            pool.close()
            pool.join()
        elif kind == "ProcessPoolExecutor":
            with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
                found += pool.map(task, range(39))
        else:
            for number in range(2):
                child = context.Process(target=task, args=(number,))
                child.start()
                child.join()
            found *= 40
        print(len([each for each in found if each == "5a" * 32]))
"""


PREFORK = """
    import os, sys, secureml

    manager = secureml.KeyManager(cache_ttl=0)
    manager.get_key()
    mine = manager.vault_client.lookup_token()["data"]["accessor"]
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            if number:
                manager.get_key()
            del manager
            sys.exit(0)
        children.append(child)
    print([os.waitpid(child, 0)[1] for child in children])
    print(manager.vault_client.lookup_token()["data"]["accessor"] == mine)
"""


@forks
def test_workers_that_end_revoke_their_own_logins_and_not_their_parents(
    app: App, program: Any
) -> None:
    variables = app.variables(wrapped=True)
    assert program(PREFORK, variables).stdout == "[0, 0, 0]\nTrue\n"
    assert app.tokens() == 0


def test_closing_under_load_leaves_no_token_and_no_login_after_it(app: App) -> None:
    arguments = app.arguments(cache_ttl=0)

    def read(manager: KeyManager, reading: threading.Event) -> str:
        try:
            while True:
                manager.get_key()
                reading.set()
        except SecretError as error:
            return str(error)

    for run in range(40):
        manager = KeyManager(**arguments)
        reading = threading.Event()
        with ThreadPoolExecutor(8) as pool:
            reads = [pool.submit(read, manager, reading) for _ in range(8)]
            if run % 2:
                assert reading.wait(30)
            manager.close()
            assert all("closed" in each.result(30) for each in reads)
        assert app.tokens() == 0


class Handled(AuthMethod):
    """Logs in as the settings say; a signal comes in when Vault has answered."""

    def __init__(self, inner: AuthMethod) -> None:
        self._inner = inner

    def login(self, client: Any) -> Login:
        login = self._inner.login(client)
        signal.raise_signal(signal.SIGUSR1)
        return login


@forks
def test_a_login_is_revoked_whose_session_a_signal_handler_has_closed_meanwhile(
    app: App, in_child: Any
) -> None:
    settings = load_settings(Layers(arguments=app.arguments()))
    session = VaultSession(settings, Handled(auth_from(settings)))

    def work() -> str:
        signal.signal(signal.SIGUSR1, lambda *_: session.close())
        try:
            session.lookup_self()
        except SecretError as error:
            return str(error)
        return "answered"

    assert in_child(work).report() == "'this connection to Vault is closed (SML-200)'"
    assert app.tokens() == 0


def test_the_first_settings_of_fifty_threads_take_one_login(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.role(secret_id_num_uses=1)
    app.admin.secrets.kv.v2.create_or_update_secret("secureml/settings", {"cache_ttl": "7"})
    for name, value in app.variables(vault_settings=True).items():
        monkeypatch.setenv(name, value)
    start = threading.Barrier(50)
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda _: (start.wait(30), get_settings())[1].cache_ttl, range(50)))
    assert found == [7.0] * 50
    assert app.tokens() == 1


@pytest.mark.parametrize("uses", [0, 1])
def test_a_wrapped_secret_id_serves_every_configure_and_override_of_a_process(
    app: App, uses: int
) -> None:
    app.role(secret_id_num_uses=uses)
    arguments = app.arguments(wrapped=True, vault_settings=True)
    app.admin.secrets.kv.v2.create_or_update_secret(
        "secureml/settings", {"master_key_name": "other"}
    )
    for ttl in (1, 2):
        assert configure(**arguments, cache_ttl=ttl).master_key_name == "other"
        assert get_encryption_key(encoding="hex") == KEY
        with override(cache_ttl=0, environment=None):
            assert get_settings().master_key_name == "other"
            assert get_encryption_key(encoding="hex") == KEY
        with KeyManager() as manager:
            assert manager.get_key().name == "other"
        assert app.tokens() == 1


def test_a_wrapped_secret_id_outlives_all_managers(app: App) -> None:
    arguments = app.arguments(wrapped=True)
    for _ in range(3):
        with KeyManager(**arguments) as manager:
            assert manager.get_encryption_key(encoding="hex") == KEY
        assert app.tokens() == 0


def test_a_kept_secret_id_is_for_the_role_that_its_wrapping_token_was_made_for(app: App) -> None:
    arguments = app.arguments(wrapped=True)
    with KeyManager(**arguments) as manager:
        manager.get_key()
    with (
        KeyManager(**arguments, vault_role="stranger") as manager,
        pytest.raises(AuthenticationError, match="not made for a secret ID of role 'stranger'"),
    ):
        manager.get_key()


def read_in_children(manager: KeyManager, in_child: Any) -> list[str]:
    def work() -> str:
        found = str(manager.get_encryption_key(encoding="hex"))
        manager.close()
        return found

    children = [in_child(work) for _ in range(3)]
    return [child.report() for child in children]


@forks
def test_workers_log_in_with_the_wrapped_secret_id_that_their_parent_has_unwrapped(
    app: App, in_child: Any
) -> None:
    with KeyManager(**app.arguments(wrapped=True), cache_ttl=0) as manager:
        manager.get_key()
        assert read_in_children(manager, in_child) == [repr(KEY)] * 3
        assert app.tokens() == 1
    assert app.tokens() == 0


@forks
def test_workers_that_are_forked_before_the_first_read_are_told_so(app: App, in_child: Any) -> None:
    manager = KeyManager(**app.arguments(wrapped=True), cache_ttl=0)
    reports = sorted(read_in_children(manager, in_child))
    assert reports[0] == repr(KEY)
    assert all("read a key before the fork" in report for report in reports[1:])


@forks
@pytest.mark.parametrize("wrapped", [False, True])
def test_workers_are_told_that_a_secret_id_for_one_login_was_their_parents(
    app: App, in_child: Any, wrapped: bool
) -> None:
    app.role(secret_id_num_uses=1)
    with KeyManager(**app.arguments(wrapped=wrapped), cache_ttl=0) as manager:
        manager.get_key()
        for report in read_in_children(manager, in_child):
            assert "one that is for a single login can't do so again" in report


class Given(AuthMethod):
    """Logs in with a token that is given."""

    def login(self, client: Any) -> Login:
        return Login(token=SecretText("t"))


def test_a_method_that_does_not_say_what_it_logs_in_with_shares_no_login(app: App) -> None:
    settings = load_settings(Layers(arguments=app.arguments()))
    one, other = VaultSession(settings, Given()), VaultSession(settings, Given())
    assert one._login(one._here()) is not other._login(other._here())
    assert one._login(one._here()) is one._login(one._here())
