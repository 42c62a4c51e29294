"""The index of a cluster: told to each node, so that no standby answers with what was before."""

from __future__ import annotations

import base64
import json
import os
from types import SimpleNamespace

import pytest

from secureml.settings import Layers, load_settings
from secureml.vault.client.replication import ReplicationIndex, index_of
from secureml.vault.client.session import VaultSession


def openbao(value: int, cluster: str = "c") -> str:
    return base64.b64encode(json.dumps({"cluster": cluster, "value": str(value)}).encode()).decode()


def enterprise(local: int, replicated: int, cluster: str = "c") -> str:
    return base64.b64encode(f"v1:{cluster}:{local}:{replicated}:0a0b".encode()).decode()


def after(*texts: str) -> str | None:
    """Return the index that is told once these were seen."""
    index = ReplicationIndex()
    for text in texts:
        index.saw(SimpleNamespace(headers={"X-Vault-Index": text}))
    return index.headers().get("X-Vault-Index")


@pytest.mark.parametrize(
    "texts",
    [
        (openbao(9), openbao(10)),
        (enterprise(9, 0), enterprise(10, 0)),
        (enterprise(9, 1), enterprise(9, 2)),
    ],
)
def test_the_newest_index_is_told_whichever_answer_comes_last(texts: tuple[str, str]) -> None:
    assert after(*texts) == after(*reversed(texts)) == texts[1]


@pytest.mark.parametrize("other", [openbao(1, "d"), enterprise(1, 1, "d"), "unknown", "e30="])
def test_the_index_of_another_cluster_takes_the_place_of_a_higher_one(other: str) -> None:
    assert after(openbao(9), other) == other
    assert after(other, openbao(9)) == openbao(9)


@pytest.mark.parametrize(
    "text", ["", "x" * 257, "a\r\n b", "\xe9", base64.b64encode(b"[" * 5000).decode()]
)
def test_text_that_is_no_index_is_not_sent(text: str) -> None:
    assert after(text) is None
    assert after(openbao(1), text) == openbao(1)


def test_sessions_of_the_same_addresses_share_one_index() -> None:
    assert index_of("http://a,http://b") is index_of("http://a,http://b")
    assert index_of("http://a") is not index_of("http://a,http://b")


def test_each_request_with_a_token_tells_the_index_and_no_other_does(faulty) -> None:
    """Without a token, a node is asked about itself; it must not forward that."""
    server = faulty(b'{"data": {}, "sealed": false}', extra=f"X-Vault-Index: {openbao(7)}\r\n")
    arguments = {"vault_url": server.url, "vault_token": "s.token"}
    session = VaultSession(load_settings(Layers(arguments=arguments)))
    try:
        for _ in range(2):
            session.lookup_self()
        session.seal_status()
    finally:
        session.close()
    first, *others, last = server.received
    assert b"X-Vault-Index" not in first
    assert b"seal-status" in last
    assert b"X-Vault-Index" not in last
    assert others
    for request in others:
        assert f"X-Vault-Index: {openbao(7)}\r\n".encode() in request
        assert b"X-Vault-Inconsistent: forward-active-node\r\n" in request


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_child_process_tells_the_index_that_its_parent_saw(in_child) -> None:
    index_of("http://parent").saw(SimpleNamespace(headers={"X-Vault-Index": openbao(3)}))
    child = in_child(lambda: index_of("http://parent").headers()["X-Vault-Index"])
    assert child.report() == repr(openbao(3))
