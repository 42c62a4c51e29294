"""Pseudonyms in files, moved to another key."""

from __future__ import annotations

import json

from helpers.tables import TABLE
from secureml.files import manifest_of
from secureml.key_management import KeyManager


def test_rekey_replaces_the_file_or_writes_another(run, plain, hidden):
    with KeyManager() as manager:
        manager.rotate_key("master_key")
    assert run("rekey", hidden, "--output", "moved.csv").code == 0
    assert manifest_of(hidden)["key"]["version"] == 1
    ran = run("rekey", hidden, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["version"] == 2
    assert hidden.read_bytes() == plain.with_name("moved.csv").read_bytes()
    assert run("reidentify", hidden, "--output", "again.csv").code == 0
    assert plain.with_name("again.csv").read_text() == TABLE
