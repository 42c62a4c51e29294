"""A settings file is edited in place, with all that it says kept."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.atomic_files import NewFile, write_together
from secureml.cli.settings.settings_file import edited, with_rules
from secureml.errors import ConfigurationError, SecureMLError

NEW = {"vault_url": "http://vault:8200"}
LINE = 'vault_url = "http://vault:8200"\n'
CRLF = LINE.replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"[default]\n{LINE}"),
        ("# only this", f"# only this\n\n[default]\n{LINE}"),
        ("[default]", f"[default]\n{LINE}"),
        ("[default] # why\n", f"[default] # why\n{LINE}"),
        ("[default]\ncache_ttl = 1", f"[default]\ncache_ttl = 1\n{LINE}"),
        ("[staging]\ncache_ttl = 1\n", f"[staging]\ncache_ttl = 1\n\n[default]\n{LINE}"),
        ("[default]\n\n# next\n[staging]\n", f"[default]\n{LINE}\n# next\n[staging]\n"),
        ("[default]\nvault_url = 'x' # y\n", '[default]\nvault_url = "http://vault:8200" # y\n'),
        ("default.cache_ttl = 1\n", f"default.cache_ttl = 1\ndefault.{LINE}"),
        ("\ufeff[default]\n", f"\ufeff[default]\n{LINE}"),
        ("[default]\r\ncache_ttl = 1\r\n", f"[default]\r\ncache_ttl = 1\r\n{CRLF}"),
        ("\ufeff[staging]\r\n", f"\ufeff[staging]\r\n\r\n[default]\r\n{CRLF}"),
        ("[default]\r\na = 1\n", f"[default]\r\na = 1\n{LINE}"),
    ],
)
def test_an_edit_changes_the_new_values_alone(tmp_path, before, after):
    file = tmp_path / "settings.toml"
    file.write_bytes(before.encode())
    assert edited(file, "default", NEW) == after.encode()
    assert file.read_bytes() == before.encode()


def test_new_rules_have_the_line_ends_of_the_file(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_bytes(b"[staging]\r\n")
    assert with_rules(file, "default", {"a": {"strategy": "fpe"}}) == (
        b'[staging]\r\n\r\n[default.columns.a]\r\nstrategy = "fpe"\r\n'
    )


def test_an_edit_of_a_missing_file_makes_it(tmp_path):
    assert edited(tmp_path / "settings.toml", "default", NEW).decode() == f"[default]\n{LINE}"


@given(
    sections=st.dictionaries(
        st.sampled_from(["default", "development", "staging"]),
        st.dictionaries(st.sampled_from("abcde"), st.integers() | st.text(max_size=9)),
    ),
    section=st.sampled_from(["default", "development", "staging"]),
    value=st.text(alphabet=st.characters(exclude_categories=["Cs"])),
)
def test_an_edit_keeps_every_other_value(tmp_path_factory, sections, section, value):
    import tomlkit

    file = tmp_path_factory.mktemp("edited") / "settings.toml"
    file.write_bytes(tomlkit.dumps(sections).encode())
    found = tomllib.loads(edited(file, section, {"vault_path": value}).decode())
    assert found == {**sections, section: {**sections.get(section, {}), "vault_path": value}}


@pytest.mark.parametrize(
    "content",
    [
        b"[default\n",
        b"default = 5\n",
        b"default.a = 1\nstaging.b = 2\ndefault.c = 3\n",
        b"[[default]]\n",
    ],
)
def test_a_file_that_can_not_be_edited_safely_is_refused(tmp_path, content):
    file = tmp_path / "settings.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="can't be changed safely") as caught:
        edited(file, "default", NEW)
    assert caught.value.__context__ is None


def test_a_settings_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_bytes(b"\xff")
    with pytest.raises(SecureMLError, match="is not UTF-8"):
        edited(file, "default", NEW)


def test_files_are_written_together_or_not_at_all(tmp_path):
    first = tmp_path / "first"
    first.write_text("old")
    files = [NewFile(first, b"new"), NewFile(tmp_path / "no folder" / "second", b"new")]
    with pytest.raises(SecureMLError, match="second can't be written") as caught:
        write_together(files)
    assert caught.value.__context__ is None
    assert first.read_text() == "old"
    assert list(tmp_path.iterdir()) == [first]


def test_a_saved_file_that_is_a_link_stays_one(tmp_path):
    target = tmp_path / "target"
    target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to("target")
    write_together([NewFile(link, b"new")])
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_new_file_does_not_show_its_content():
    assert "token" not in repr(NewFile(None, b"token"))
