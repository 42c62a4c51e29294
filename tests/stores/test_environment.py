"""Secrets in variables and in the files that variables name, taken as they stand."""

import os

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from secureml.errors import ConfigurationError
from secureml.stores import DevelopmentSource, EnvironmentSource, Finding

HOSTILE = ["@format {env[HOME]}", "12e45678", "0x10", "1234#tail", '"quoted"', "@none", " a "]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_taken_as_it_stands(monkeypatch, tmp_path, text):
    monkeypatch.setenv("SECUREML_API_KEY", text)
    outcome = EnvironmentSource().read("api_key")
    assert outcome.finding is Finding.PRESENT
    assert outcome.record.fields == {"value": text}
    assert outcome.record.path == "SECUREML_API_KEY"


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), min_size=1, max_size=50)
)
def test_any_text_comes_out_of_a_file_unchanged(tmp_path_factory, text):
    assume(not text.startswith("\ufeff"))
    file = tmp_path_factory.mktemp("secret") / "key"
    file.write_bytes(text.encode() + b"\n")
    outcome = EnvironmentSource({"SECUREML_K_FILE": str(file)}).read("k")
    assert outcome.record.fields == {"value": text}
    assert outcome.record.path == "SECUREML_K_FILE"


@pytest.mark.parametrize("name", ["api-key", "api.key", "api/key", "API_KEY"])
def test_separators_become_underscores(name):
    assert EnvironmentSource({"SECUREML_API_KEY": "x"}).read(name).finding is Finding.PRESENT


def test_a_variable_set_to_nothing_counts_as_unset(tmp_path):
    file = tmp_path / "key"
    file.write_text("from the file")
    read = EnvironmentSource({"SECUREML_K": "", "SECUREML_K_FILE": str(file)}).read
    assert read("k").record.fields == {"value": "from the file"}
    nothing = EnvironmentSource({"SECUREML_K": "", "SECUREML_K_FILE": ""})
    assert nothing.read("k").finding is Finding.ABSENT


@pytest.mark.parametrize("name", ["straße", "\u017fecret", "kluc\u0131", "ﬁle"])
def test_a_name_beyond_ascii_has_no_variable_that_another_name_has_too(name):
    variables = dict.fromkeys(
        ["SECUREML_STRASSE", "SECUREML_SECRET", "SECUREML_KLUCI", "SECUREML_FILE"], "another's"
    )
    outcome = EnvironmentSource(variables).read(name)
    assert outcome.finding is Finding.ABSENT
    assert "none for names beyond ASCII" in outcome.where


def test_a_relative_file_stays_where_it_was(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("here")
    source = EnvironmentSource({"SECUREML_K_FILE": "key"})
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "key").write_text("elsewhere")
    monkeypatch.chdir(tmp_path / "below")
    assert source.read("k").record.fields == {"value": "here"}


def test_absence_names_both_variables():
    outcome = EnvironmentSource({}).read("k")
    assert outcome.finding is Finding.ABSENT
    assert "SECUREML_K," in outcome.where
    assert "SECUREML_K_FILE" in outcome.where


def test_a_variable_and_a_file_at_once_are_refused(tmp_path):
    outcome = EnvironmentSource({"SECUREML_K": "x", "SECUREML_K_FILE": "/nowhere"}).read("k")
    assert outcome.finding is Finding.REFUSED
    assert isinstance(outcome.error, ConfigurationError)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe", b"x" * (1024 * 1024 + 1)])
def test_a_file_that_can_not_be_used_is_refused_not_absent(tmp_path, content):
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    outcome = EnvironmentSource({"SECUREML_K_FILE": str(file)}).read("k")
    assert outcome.finding is Finding.REFUSED
    assert "SECUREML_K_FILE" in str(outcome.error)


def test_a_byte_order_mark_is_no_part_of_a_secret_and_told_as_such(tmp_path):
    file = tmp_path / "key"
    file.write_bytes(b"\xef\xbb\xbfhunter2\n")
    outcome = EnvironmentSource({"SECUREML_K_FILE": str(file)}).read("k")
    assert outcome.finding is Finding.REFUSED
    assert "SECUREML_K_FILE names begins with a byte order mark" in str(outcome.error)
    assert "hunter2" not in str(outcome.error)


def test_a_directory_is_refused(tmp_path):
    outcome = EnvironmentSource({"SECUREML_K_FILE": str(tmp_path)}).read("k")
    assert outcome.finding is Finding.REFUSED


def test_development_defaults_depend_on_name_and_length_alone():
    read = DevelopmentSource().read
    assert read("a") == DevelopmentSource().read("a")
    assert read("a").record.fields != read("b").record.fields
    assert len(read("a", 16).record.fields["value"]) == 32
    assert not read("a", 32).record.fields["value"].startswith(read("a", 16).record.fields["value"])


@pytest.mark.skipif(os.name != "posix", reason="a folder that is in use can't be removed")
def test_a_relative_path_without_a_working_directory_is_no_absent_secret(monkeypatch, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    source = EnvironmentSource({"SECUREML_K_FILE": "key", "SECUREML_J": "text"})
    outcome = source.read("k")
    assert outcome.finding is Finding.REFUSED
    assert outcome.record is None
    assert "SECUREML_K_FILE" in str(outcome.error)
    assert "working directory" in str(outcome.error)
    assert source.read("j").record.fields == {"value": "text"}
