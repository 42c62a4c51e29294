"""Settings that follow the section of a host application's Dynaconf object."""

import threading
from pathlib import Path
from typing import Any

import dynaconf
import pytest

from secureml import KeyManager, configure, get_settings, override
from secureml.errors import ConfigurationError
from secureml.key_management import default
from secureml.settings import Layers
from secureml.settings.host import Host

HOST = """
[default]
name = "app"
[default.secureml]
vault_path = "of-default"
[default.app.secureml]
vault_path = "nested"
[production.secureml]
vault_path = "of-production"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "app.toml"
    path.write_text(HOST)
    return path


@pytest.fixture
def host(file: Path) -> dynaconf.Dynaconf:
    return dynaconf.Dynaconf(settings_files=[str(file)], environments=True, env="development")


SECTIONS = {
    "the section itself": lambda host: host.secureml,
    "a function": lambda host: lambda: host.secureml,
    "a function that copies": lambda host: lambda: dict(host["SECUREML"]),
}


@pytest.mark.parametrize("given", SECTIONS)
def test_the_next_use_sees_the_section_that_using_env_puts_in_place(
    host: dynaconf.Dynaconf, given: str
) -> None:
    assert configure(host=SECTIONS[given](host)).vault_path == "of-default"
    with host.using_env("production"):
        assert get_settings().vault_path == "of-production"
        assert get_settings() is get_settings()
    assert get_settings().vault_path == "of-default"


@pytest.mark.parametrize("given", SECTIONS)
def test_the_next_use_sees_the_section_that_reload_puts_in_place(
    host: dynaconf.Dynaconf, file: Path, given: str
) -> None:
    configure(host=SECTIONS[given](host), vault_mount="mine")
    file.write_text(HOST.replace("of-default", "changed"))
    assert get_settings().vault_path == "of-default"
    host.reload()
    assert (get_settings().vault_path, get_settings().vault_mount) == ("changed", "mine")


def test_a_reload_that_changes_nothing_leaves_the_settings_in_place(
    host: dynaconf.Dynaconf,
) -> None:
    before = configure(host=host.secureml)
    host.reload()
    assert get_settings() is before


def test_a_section_below_the_top_is_followed_by_a_function(
    host: dynaconf.Dynaconf, file: Path
) -> None:
    configure(host=lambda: host.app.secureml)
    file.write_text(HOST.replace("nested", "changed"))
    host.reload()
    assert get_settings().vault_path == "changed"


def test_a_section_is_taken_as_the_host_sees_it_with_its_tables(
    host: dynaconf.Dynaconf, file: Path
) -> None:
    file.write_text(
        "[default]\nplace = 'eu'\n[default.secureml]\nvault_path = '@format {this.place}/app'\n"
        "[default.secureml.columns.SSN]\nstrategy = 'fpe'\nformat = 'ssn'\n"
        "[default.secureml.profiles.lab.columns.name]\nstrategy = 'mask'\n"
    )
    host.reload()
    settings = configure(host=host.secureml)
    assert settings.vault_path == "eu/app"
    rule = settings.columns.of("ssn")
    assert rule is not None
    assert (rule.strategy, rule.format) == ("fpe", "ssn")
    assert list(settings.profiles) == ["lab"]


def test_overrides_stay_on_top_of_a_section_that_changes(host: dynaconf.Dynaconf) -> None:
    configure(host=host.secureml)
    with override(cache_ttl=1):
        with host.using_env("production"):
            assert (get_settings().vault_path, get_settings().cache_ttl) == ("of-production", 1)
        assert (get_settings().vault_path, get_settings().cache_ttl) == ("of-default", 1)


def test_the_default_manager_follows_the_section_and_others_keep_theirs(
    host: dynaconf.Dynaconf,
) -> None:
    configure(host=host.secureml)
    mine = KeyManager()
    first = default.get_default_key_manager()
    with host.using_env("production"):
        assert default.get_default_key_manager().settings.vault_path == "of-production"
        assert KeyManager().settings.vault_path == "of-production"
    assert first.settings.vault_path == mine.settings.vault_path == "of-default"


def test_a_wrong_section_is_an_error_until_it_is_right_again(
    host: dynaconf.Dynaconf, file: Path
) -> None:
    configure(host=host.secureml)
    file.write_text(HOST.replace('vault_path = "of-default"', "cache_ttl = -1"))
    host.reload()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="host application: cache_ttl"):
            get_settings()
    file.write_text(HOST)
    host.reload()
    assert get_settings().vault_path == "of-default"


def test_a_section_that_is_gone_is_an_error_and_its_settings_are_used_no_more(
    host: dynaconf.Dynaconf, file: Path
) -> None:
    configure(host=host.secureml)
    file.write_text("[default]\nname = 'app'\n")
    host.reload()
    with pytest.raises(ConfigurationError, match="no section for secureml"):
        get_settings()


def test_a_section_is_used_once_it_stays_the_same() -> None:
    sections: list[dict[str, object] | None] = [None, {"vault_path": "half"}, {"vault_path": "all"}]
    waited: list[float] = []

    def given() -> dict[str, object]:
        if sections[0] is None:
            raise AttributeError("secureml")
        return sections[0]

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(sections) > 1:
            sections.pop(0)

    first, sections[0] = sections[0], {}
    host = Host(given)
    sections[0] = first
    assert host.settled(pause=pause) == {"vault_path": "all"}
    assert len(waited) == 3


def test_threads_that_read_while_the_host_reloads_see_whole_sections_alone(
    host: dynaconf.Dynaconf,
) -> None:
    configure(host=host.secureml)
    over = threading.Event()
    seen: set[str] = set()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not over.is_set():
                seen.add(get_settings().vault_path)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        host.reload()
    over.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert seen <= {"of-default"}


def test_a_section_is_not_changed_by_being_followed(host: dynaconf.Dynaconf) -> None:
    before = host.as_dict()
    configure(host=host.secureml)
    host.reload()
    get_settings()
    assert host.as_dict() == before


@pytest.mark.parametrize("wrong", [dynaconf.Dynaconf(), lambda: None, lambda: "x", [("a", "b")]])
def test_a_host_without_a_section_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="one section of the host's settings"):
        Layers(host=wrong)


def test_a_section_does_not_show_in_a_repr() -> None:
    assert "hunter2" not in repr(Layers(host={"vault_token": "hunter2"}))
    assert "hunter2" not in repr(Host({"vault_token": "hunter2"}))
