"""The reader of the pages finds what is wrong with them."""

from __future__ import annotations

import pytest

from secureml.errors import ConfigurationError


def fenced(kind: str, text: str) -> str:
    return f"```{kind}\n{text}\n```\n"


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (fenced("sh", "make nothing"), "no such target"),
        (fenced("sh", "pip install 'secureml[nothing]'"), "no such extra"),
        (fenced("sh", "poetry add secureml -E nothing"), "no such extra"),
        (fenced("sh", "docker run hello-world"), "no such line"),
        (fenced("sh", "no-such-command"), "not found"),
        (fenced("sh", "secureml vault dev --persist ."), "ended and printed"),
        (fenced("sh", "secureml keys no-such-command"), "No such command"),
        (fenced("sh", "false\ntrue"), "exited with 1"),
        (fenced("sh", "echo one") + fenced("text", "two"), "expected:\ntwo"),
        (fenced("python", "print(1)") + fenced("text", "2"), "printed:\n1"),
        (fenced("text", "nothing ran before"), "nothing was run"),
        (fenced("python", "assert 1 == 2, 'no'"), "no"),
        (fenced("yaml", "env: {SECUREML_VAULT_ADDR: x}"), "SECUREML_VAULT_ADDR"),
        (fenced("dockerfile", "ENV SECUREML_ENV=production\nCOPY absent ."), "COPY absent"),
        (fenced("hcl", 'path "secret/data/*" { capabilities = ["fly"] }'), "policy"),
    ],
)
def test_the_reader_finds_lines_that_do_not_work(reader, tmp_path, page, problem):
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    with pytest.raises(AssertionError, match=problem):
        reader.follow(tmp_path / "page.md")


def test_wrong_settings_are_found_in_every_section(reader, tmp_path):
    page = fenced("toml", "[default]\n[staging]\nvault_timeout = 0")
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="vault_timeout"):
        reader.follow(tmp_path / "page.md")


def test_a_block_of_an_unknown_kind_is_found(reader, tmp_path):
    (tmp_path / "page.md").write_text(fenced("ruby", "puts 1"), encoding="utf-8")
    with pytest.raises(AttributeError, match="ruby"):
        reader.follow(tmp_path / "page.md")


def test_names_and_variables_last_to_the_end_of_a_page(reader, tmp_path):
    page = fenced("sh", "export SECUREML_CACHE_TTL=7") + fenced("python", "import secureml")
    page += fenced("python", "print(secureml.get_settings().cache_ttl)") + fenced("text", "7.0")
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    reader.follow(tmp_path / "page.md")
