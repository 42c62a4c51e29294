"""What another process is told of a manager, so that it can build its like."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from secureml import configure
from secureml.key_management import KeyManager
from secureml.key_management.recipe import ManagerRecipe, recipe_of
from secureml.settings import Layers, load_settings
from secureml.stores import MemoryStore

SETTINGS = """
[default]
vault_path = "of-the-file"
[staging]
vault_mount = "mount-of-staging"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "other.toml"
    file.write_text(SETTINGS)
    return file


def test_the_manager_that_is_built_has_the_same_settings(file: Path) -> None:
    configure(files=[file])
    arguments: dict[str, Any] = {"vault_url": "https://v.example", "cache_ttl": 7}
    with KeyManager(environment="staging", **arguments) as manager:
        recipe = recipe_of(manager)
        expected = manager.settings
    configure()
    made = pickle.loads(pickle.dumps(recipe))
    assert made == ManagerRecipe((file,), "staging", arguments)
    with made.build() as built:
        assert built.settings == expected
        assert built.settings.vault_mount == "mount-of-staging"
        assert built.settings.vault_path == "of-the-file"
        assert built.settings.vault_url == "https://v.example"
        assert built.settings.cache_ttl == 7


def test_files_that_are_found_are_found_again() -> None:
    with KeyManager(environment="development") as manager:
        assert recipe_of(manager) == ManagerRecipe(None, "development", {})


@pytest.mark.parametrize(
    "arguments",
    [
        {"store": MemoryStore()},
        {"settings": load_settings(Layers(files=(), environment="development"))},
        {"vault_token": "hvs.made-up"},
        {"vault_url": "https://v.example", "vault_secret_id_wrapped": True},
    ],
    ids=["store", "settings", "secret", "used once"],
)
def test_of_what_no_other_process_has_there_is_no_recipe(arguments: dict[str, Any]) -> None:
    if "settings" not in arguments:
        arguments = arguments | {"environment": "development"}
    with KeyManager(**arguments) as manager:
        assert recipe_of(manager) is None


def test_the_settings_of_a_host_application_are_in_its_process_alone() -> None:
    configure(environment="development", host={"VAULT_PATH": "of-the-host"})
    with KeyManager() as manager:
        assert recipe_of(manager) is None
