"""The guide does what it says, page by page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import secureml.errors
from secureml import KeyManager, key_management
from secureml.cli.base import exit_code_of
from secureml.cli.connection import check_connection
from secureml.errors import AccessDeniedError

ROOT = Path(__file__).parents[2]
PAGES = sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_works(reader, page):
    reader.follow(ROOT / page)


def test_every_public_name_has_its_place_in_the_reference():
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs/api").glob("*.md"))
    names = [f"secureml.key_management.{name}" for name in key_management.__all__]
    shared = set(key_management.__all__)
    names += [f"secureml.{name}" for name in secureml.__all__ if name not in shared]
    assert [name for name in names if f":: {name}\n" not in pages] == []


def test_every_error_and_exit_code_is_explained():
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    advice = page.partition("## What to do about an error")[2]
    roots = {"SecureMLError", "SecretError"}
    errors = [name for name in secureml.errors.__all__ if name.endswith("Error")]
    assert [name for name in errors if name not in roots and f"| `{name}` |" not in advice] == []
    for code, kinds in re.findall(r"^\| ([2-5]) \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", kinds):
            assert exit_code_of(getattr(secureml.errors, name)("")) == int(code), name


@pytest.fixture
def keeper(blocks, vault):
    """A manager whose token has one of the policies of the page on operations."""
    policies = {block.file: block.text for block in blocks("docs/operations.md")}

    def make(file: str) -> KeyManager:
        return KeyManager(
            environment="production",
            vault_url=vault.url,
            vault_namespace=vault.namespace,
            vault_token=vault.policy_token(policies[file], no_default_policy=False),
        )

    return make


def test_the_policy_for_keys_allows_all_that_is_done_with_keys(keeper):
    manager = keeper("secureml-keys.hcl")
    first = manager.generate_key("master_key")
    assert manager.rotate_key("master_key").version == 2
    assert [info.name for info in manager.list_keys()] == ["master_key"]
    assert len(manager.key_history("master_key")) == 2
    assert manager.set_secret("api-key", "made up")
    assert manager.destroy_key_version("master_key", 1, first.fingerprint).state == "destroyed"


def test_the_policy_for_reading_allows_reading_alone(keeper):
    keeper("secureml-keys.hcl").generate_key("master_key")
    reader = keeper("secureml-reader.hcl")
    assert reader.get_key("master_key").version == 1
    assert reader.get_secret("absent", "nothing") == "nothing"
    for forbidden in (
        lambda: reader.generate_key("another"),
        lambda: reader.rotate_key("master_key"),
        lambda: reader.set_secret("api-key", "made up"),
        reader.list_keys,
    ):
        with pytest.raises(AccessDeniedError):
            forbidden()


def test_a_policy_ends_at_its_environment(keeper, vault):
    token = keeper("secureml-keys.hcl").settings.vault_token
    other = KeyManager(
        environment="staging",
        vault_url=vault.url,
        vault_namespace=vault.namespace,
        vault_token=token,
    )
    with pytest.raises(AccessDeniedError):
        other.generate_key("master_key")


def test_the_connection_test_of_a_reading_token_fails_in_writing_alone(keeper):
    reader = keeper("secureml-reader.hcl")
    failed = [check.name for check in check_connection(reader.settings) if check.error]
    assert failed == ["write"]
