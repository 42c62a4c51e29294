"""A development server whose data outlive the process that ran it."""

from __future__ import annotations

import socket
import stat

import hvac
import pytest

from secureml.errors import VaultUnavailableError
from secureml.secret_types import SecretText
from secureml.vault.devserver.secrets import DevServerSecrets
from secureml.vault.devserver.server import DevServer

static_seal = pytest.mark.openbao("static seals")


def client_of(server: DevServer) -> hvac.Client:
    return hvac.Client(server.url, token=server.root_token.reveal())


@static_seal
def test_another_process_finds_the_data_and_the_root_token(tmp_path):
    folder = tmp_path / "a folder"
    with DevServer(folder, persist=True) as first:
        client = client_of(first)
        client.secrets.kv.v2.create_or_update_secret("kept", {"value": "x"})
        client.adapter.close()
    with DevServer(folder, persist=True) as second:
        assert second.root_token == first.root_token
        client = client_of(second)
        answer = client.secrets.kv.v2.read_secret_version("kept", raise_on_deleted_version=True)
        client.adapter.close()
    assert answer["data"]["data"] == {"value": "x"}


@static_seal
def test_the_data_and_the_root_token_outlive_a_crash(tmp_path):
    first = DevServer(tmp_path / "bao", persist=True)
    first.start()
    first.kill()
    first.start()
    first.kill()
    with DevServer(tmp_path / "bao", persist=True) as second:
        assert second.root_token == first.root_token


@static_seal
def test_the_files_that_open_the_data_belong_to_their_owner_alone(tmp_path):
    with DevServer(tmp_path / "bao", persist=True) as server:
        token = server.root_token.reveal()
    assert stat.S_IMODE((tmp_path / "bao").stat().st_mode) == 0o700
    for name in ("unseal.key", "root-token"):
        assert stat.S_IMODE((tmp_path / "bao" / name).stat().st_mode) == 0o600
    holding = [
        file.name
        for file in (tmp_path / "bao").iterdir()
        if file.is_file() and token.encode() in file.read_bytes()
    ]
    assert holding == ["root-token"]


@static_seal
def test_a_second_server_on_one_folder_does_not_start(tmp_path):
    with DevServer(tmp_path, persist=True) as first:
        second = DevServer(tmp_path, persist=True)
        with pytest.raises(VaultUnavailableError, match="another server is running on"):
            second.start()
        assert first.running
        assert not second.running


@static_seal
def test_a_first_start_that_was_interrupted_after_it_initialized_can_not_be_repeated(tmp_path):
    with DevServer(tmp_path, persist=True):
        pass
    (tmp_path / "root-token").unlink()
    again = DevServer(tmp_path, persist=True)
    with pytest.raises(VaultUnavailableError, match="interrupted when it was first started"):
        again.start()
    assert not again.running


@static_seal
def test_a_first_start_that_was_interrupted_before_it_initialized_can_be_repeated(tmp_path):
    DevServerSecrets(tmp_path).make_key()
    with DevServer(tmp_path, persist=True) as server:
        assert server.root_token


def test_the_unseal_key_is_made_once_and_leftovers_of_a_crash_do_not_matter(tmp_path):
    kept = DevServerSecrets(tmp_path)
    assert not DevServerSecrets.is_in(tmp_path)
    (tmp_path / ".unseal.key.x1y2z3_a.new").write_bytes(b"half")
    kept.make_key()
    key = (tmp_path / "unseal.key").read_bytes()
    kept.make_key()
    assert DevServerSecrets.is_in(tmp_path)
    assert len(key) == 32
    assert (tmp_path / "unseal.key").read_bytes() == key
    kept.save_root_token(SecretText("a-token"))
    assert kept.root_token() == SecretText("a-token")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["root-token", "unseal.key"]


def test_a_server_without_static_seals_can_not_keep_its_data(like_hashicorp, tmp_path):
    server = DevServer(tmp_path / "data", binary=like_hashicorp, persist=True)
    with pytest.raises(VaultUnavailableError, match=r"only OpenBao .* KMS type"):
        server.start()
    assert not server.running


def test_a_server_listens_on_the_port_it_is_given(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with DevServer(tmp_path, port=port) as server:
        assert server.url == f"http://127.0.0.1:{port}"


def test_a_server_does_not_start_on_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = DevServer(tmp_path, port=port)
        with pytest.raises(VaultUnavailableError, match=f"port {port} is taken by another"):
            server.start()
    assert not server.running
