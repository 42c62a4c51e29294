"""No file descriptor left: said as it is, never taken for an outage, and nothing stands in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secureml.errors import FallbackWarning, ResourceLimitError
from secureml.key_management import KeyManager
from secureml.vault.auth.credentials import Credential

resource = pytest.importorskip("resource", reason="about limits as POSIX has them")


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    # All below the highest one that is open may be taken; above it, the limit.
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 200, before[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(params=["http", "TLS"])
def manager(request: pytest.FixtureRequest) -> Iterator[KeyManager]:
    """A manager in staging, where a variable may stand in for Vault in an outage."""
    more: dict[str, Any] = {}
    if request.param == "TLS":
        tls = request.getfixturevalue("bao_tls")
        url, token, more["vault_ca_cert"] = tls.server.url, tls.server.root_token, str(tls.ca)
    else:
        server = request.getfixturevalue("bao")
        url, token = server.url.replace("127.0.0.1", "localhost"), server.root_token
    with KeyManager(url, token, environment="staging", vault_timeout=5, **more) as made:
        yield made


def test_without_descriptors_vault_is_not_blamed_and_no_variable_stands_in(
    manager: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECUREML_SHORT", "stands in")
    manager._connection.store()
    with no_descriptor_left(), pytest.raises(ResourceLimitError, match="Too many open") as caught:
        manager.get_secret("short")
    assert caught.value.__context__ is None
    assert manager.get_secret("short") == "stands in"


def test_without_descriptors_a_file_of_a_variable_is_not_called_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("value")
    monkeypatch.setenv("SECUREML_SHORT_FILE", str(tmp_path / "secret"))
    with KeyManager(environment="development") as manager:
        assert manager.get_secret("short") == "value"
        with no_descriptor_left(), pytest.raises(ResourceLimitError, match="Too many open files"):
            manager.get_secret("short", "default")


def test_without_descriptors_a_token_file_is_not_called_wrong(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    token = Credential(setting="vault_token", value=None, file=str(tmp_path / "token"))
    with no_descriptor_left(), pytest.raises(ResourceLimitError, match="Too many open files"):
        token.read("token")


def test_a_variable_stands_in_for_a_vault_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECUREML_SHORT", "stands in")
    url = "http://127.0.0.1:9"
    manager = KeyManager(url, "t", environment="staging", vault_timeout=0.3)
    with pytest.warns(FallbackWarning):
        assert manager.get_secret("short") == "stands in"
    manager.close()
