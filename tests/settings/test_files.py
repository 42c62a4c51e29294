from __future__ import annotations

import contextlib
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from secureml.errors import ConfigurationError
from secureml.settings import FoundFiles, find_files, local_of
from secureml.settings.environments import ENVIRONMENTS
from secureml.settings.file_layers import read_files
from secureml.settings.files import _read, is_local, is_trusted, read_sections
from secureml.settings.origins import Place, Problem
from secureml.settings.packaged import packaged_defaults

Write = Callable[..., Path]


def test_the_nearest_file_is_found_with_the_local_one_beside_it(
    write: Write, tmp_path: Path
) -> None:
    outer = write("", "settings.toml")
    write("", "settings.local.toml")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_files({}, below) == FoundFiles(outer, tmp_path / "settings.local.toml")
    inner = write("", "a/settings.toml")
    assert find_files({}, below) == FoundFiles(inner, None)


def test_the_search_begins_in_the_working_directory(write: Write, tmp_path: Path) -> None:
    main = write("")
    assert find_files({}) == FoundFiles(main, None)


def test_a_local_file_is_found_without_a_main_one(write: Write, tmp_path: Path) -> None:
    local = write("", "settings.local.toml")
    below = tmp_path / "a"
    below.mkdir()
    assert find_files({}, below) == FoundFiles(None, local)


def test_a_folder_without_settings_files_has_none(tmp_path: Path) -> None:
    assert find_files({}, tmp_path) == FoundFiles(None, None)


def test_a_variable_names_the_file(write: Write, tmp_path: Path) -> None:
    write("")
    named = write("", "etc/app.toml")
    local = write("", "etc/app.local.toml")
    assert find_files({"SECUREML_SETTINGS_FILE": str(named)}) == FoundFiles(named, local)
    assert find_files({"SECUREML_SETTINGS_FILE": "etc/app.toml"}).main == named
    assert find_files({"SECUREML_SETTINGS_FILE": ""}).main == tmp_path / "settings.toml"


def test_a_file_that_a_variable_names_must_exist() -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.toml, which SECUREML_SETTINGS_FILE names"):
        find_files({"SECUREML_SETTINGS_FILE": "gone.toml"})


def test_a_working_directory_that_is_gone_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigurationError, match="doesn't exist any more"):
        find_files({})
    with pytest.raises(ConfigurationError, match="doesn't exist any more"):
        find_files({"SECUREML_SETTINGS_FILE": "app.toml"})
    named = tmp_path / "app.toml"
    named.touch()
    assert find_files({"SECUREML_SETTINGS_FILE": str(named)}).main == named
    monkeypatch.chdir(tmp_path)


def test_a_variable_may_name_a_file_of_the_home_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    named = write("", "home/app.toml")
    assert find_files({"SECUREML_SETTINGS_FILE": "~/app.toml"}).main == named


OTHER = 65534
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o775, 0o1777])
@pytest.mark.parametrize("given_away", ["file", "folder"])
@pytest.mark.parametrize("name", ["settings.toml", "settings.local.toml"])
def test_a_file_is_found_only_if_it_and_its_folder_belong_to_the_user_or_root(
    write: Write, name: str, given_away: str, mode: int
) -> None:
    path = write("", f"shared/{name}")
    below = path.parent / "mine"
    below.mkdir()
    path.parent.chmod(mode)
    assert path in vars_of(find_files({}, below))
    os.chown(path if given_away == "file" else path.parent, OTHER, OTHER)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        find_files({}, below)
    if name == "settings.toml":
        assert find_files({"SECUREML_SETTINGS_FILE": str(path)}, below).main == path


@needs_root
def test_a_local_file_beside_a_named_one_belongs_to_the_user_or_to_who_owns_that_one(
    write: Write,
) -> None:
    main = write("", "shared/app.toml")
    local = write("", "shared/app.local.toml")
    main.parent.chmod(0o1777)
    named = {"SECUREML_SETTINGS_FILE": str(main)}
    assert find_files(named).local == local
    os.chown(local, OTHER, OTHER)
    with pytest.raises(ConfigurationError, match=r"app\.local\.toml .* belongs to another user"):
        find_files(named)
    os.chown(main, OTHER, OTHER)
    assert find_files(named).local == local


@needs_root
def test_a_local_file_of_another_user_beside_ones_own_is_refused(write: Write) -> None:
    write("")
    os.chown(write("", "settings.local.toml"), OTHER, OTHER)
    with pytest.raises(ConfigurationError, match=r"local\.toml .* belongs to another user"):
        find_files({})


@needs_root
def test_a_link_is_trusted_no_more_than_what_it_leads_to(write: Write, tmp_path: Path) -> None:
    target = write("", "theirs/settings.toml")
    link = tmp_path / "settings.toml"
    link.symlink_to(target)
    root = frozenset({0})
    assert is_trusted(link, root)
    os.chown(target.parent, OTHER, OTHER)
    assert not is_trusted(link, root)
    os.chown(target.parent, 0, 0)
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    assert not is_trusted(link, root)
    assert is_trusted(link, None)


@needs_root
def test_roots_credentials_do_not_go_where_the_caller_of_sudo_says(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("")
    os.chown(path, OTHER, OTHER)
    monkeypatch.setenv("SUDO_UID", str(OTHER))
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        find_files({})


@needs_root
def test_the_user_is_the_one_whose_rights_the_process_has(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("")
    os.chown(path, OTHER, OTHER)
    os.chown(path.parent, OTHER, OTHER)
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    assert find_files({}).main == path
    os.chown(path, 0, 0)
    assert find_files({}).main == path
    monkeypatch.setattr(os, "getuid", lambda: OTHER)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        find_files({})


@needs_root
@pytest.mark.parametrize("swapped", ["file", "folder"])
def test_a_file_that_changes_hands_after_it_was_found_is_not_read(
    write: Write, swapped: str
) -> None:
    path = write("[default]\n", "shared/settings.toml")
    found = find_files({}, path.parent)
    assert read_sections(path, found.owners) == {"default": {}}
    os.chown(path if swapped == "file" else path.parent, OTHER, OTHER)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        read_sections(path, found.owners)
    assert read_sections(path) == {"default": {}}


def test_a_file_is_refused_by_the_layers_unless_one_who_may_owns_it(write: Write) -> None:
    path = write("[default]\n")
    problems: list[str] = []
    assert read_files([path], frozenset({os.getuid()}), problems) == {path: {"default": {}}}
    assert not problems
    assert read_files([path], frozenset({OTHER}), problems) == {}
    assert len(problems) == 1
    assert "belongs to another user" in problems[0]
    assert isinstance(problems[0], Problem)
    assert problems[0].place == Place(str(path), path)


def vars_of(found: FoundFiles) -> set[Path | None]:
    return {found.main, found.local}


def test_local_files_are_known_by_their_name() -> None:
    assert local_of(Path("/a/settings.toml")) == Path("/a/settings.local.toml")
    assert is_local(local_of(Path("app.toml")))
    assert is_local(Path("settings.local.toml"))
    assert is_local(Path("/local/app.local.toml"))
    assert not is_local(Path("settings.toml"))
    assert not is_local(Path("/a.local/settings.toml"))


def test_the_sections_of_a_file_are_read_without_conversion(write: Write) -> None:
    path = write('[default]\nvault_path = "@format {env[HOME]}"\n[canary]\ncache_ttl = 1\n')
    assert read_sections(path) == {
        "default": {"vault_path": "@format {env[HOME]}"},
        "canary": {"cache_ttl": 1},
    }


def test_a_settings_file_may_begin_with_a_byte_order_mark(write: Write) -> None:
    path = write(b'\xef\xbb\xbf[default]\r\nvault_path = "a"\r\n')
    assert read_sections(path) == {"default": {"vault_path": "a"}}


HUGE_NUMBER = "9" * 5000


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[default]\nvault_path = hunter2\n", "is not TOML (line 2)"),
        (b'[default]\nvault_path = "hunter2\n', "is not TOML (line 2)"),
        (b"[default]\nhunter2", "is not TOML"),
        (b"[default]\na = [1,", "is not TOML"),
        (b"[default]\n[default]\n", "is not TOML (line 2)"),
        (b"[default]\na = 1\na = 2\n", "is not TOML (line 3)"),
        (b"vault:\n  url: hunter2\n", "is not TOML (line 1)"),
        (b"[default]\ncache_ttl = " + HUGE_NUMBER.encode(), "is not TOML"),
        (b"[default]\na = " + b"[" * 100_000, "is not TOML"),
        (b'[default]\n\nvault_path = "\xff\xfehunter2"', "is not UTF-8 (line 3)"),
        ("[default]".encode("utf-16"), "is not UTF-8 (line 1)"),
        (b"[default]\n" + b"#" * (1 << 20), "is larger than 1 MiB"),
        (
            b"[default]\n" + b"a." * 30_000 + b"hunter2 = 1",
            "has a key of more than 8 parts (line 2",
        ),
        (b"[default]\n[default" + b" . 'a\"'" * 8 + b"]", "has a key of more than 8 parts (line 2"),
        (b"a = { b" + b'."c"' * 8 + b" = 1 }", "has a key of more than 8 parts (line 1"),
        (b"a = '''\n\n'''\na" + b".b" * 8, "has a key of more than 8 parts (line 4"),
    ],
)
def test_a_file_that_is_no_settings_file_is_an_error_that_quotes_nothing(
    write: Write, content: bytes, problem: str
) -> None:
    path = write(content)
    with pytest.raises(ConfigurationError) as caught:
        read_sections(path)
    assert str(caught.value).startswith(f"{path} {problem}")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "line",
    [
        'a = "1.2.3.4.5.6.7.8.9.10.11"',
        "a = '1.2.3.4.5.6.7.8.9.10.11' # see 1.2.3.4.5.6.7.8.9.10.11",
        'a = """\n1.2.3.4.5.6.7.8.9.10.11 \\""" 1.2.3.4.5.6.7.8.9.10"""',
        "a = '''\n1.2.3.4.5.6.7.8.9.10.11\\'''",
        '"a.b.c.d.e.f.g.h.i.j.k" = 1.5',
        "b.c.d.e.f.g.h.i = 1",
    ],
)
def test_dots_in_text_and_keys_of_eight_parts_are_no_problem(write: Write, line: str) -> None:
    assert read_sections(write(f"[default]\n{line}\n"))["default"]


@pytest.mark.parametrize(
    "line",
    [
        "a." * 30_000 + "b = 1\n",
        "".join(f"{number}.a.a.a.a.a.a.a = 1\n" for number in range(3000)),
        "".join(f"[{number}.a.a.a.a.a.a.a]\n" for number in range(3000)),
        '"' * 60_000,
        "a" * 60_000,
        '"""\\' * 15_000,
        "a = " + "[" * 60_000,
        "a = " + "{a = " * 10_000,
    ],
    ids=["one key", "many keys", "many tables", "quotes", "a word", "escapes", "arrays", "tables"],
)
def test_sixty_kilobytes_cost_no_more_than_some_megabytes(write: Write, line: str) -> None:
    path = write("[default]\n" + line)
    tracemalloc.start()
    try:
        with contextlib.suppress(ConfigurationError):
            read_sections(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_a_missing_settings_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"settings\.toml can't be read \(No such file"):
        read_sections(tmp_path / "settings.toml")


def test_a_folder_in_place_of_a_settings_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").mkdir()
    assert find_files({}, tmp_path).main == tmp_path / "settings.toml"
    with pytest.raises(ConfigurationError, match=r"settings\.toml is not a file"):
        read_sections(tmp_path / "settings.toml")


def test_a_pipe_in_place_of_a_settings_file_is_an_error_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "settings.toml")
    with pytest.raises(ConfigurationError, match=r"settings\.toml is not a file"):
        read_sections(tmp_path / "settings.toml")


@pytest.mark.parametrize("target", ["settings.toml", "gone.toml"])
def test_a_link_that_leads_nowhere_is_an_error_and_not_an_absent_file(
    tmp_path: Path, target: str
) -> None:
    link = tmp_path / "settings.toml"
    link.symlink_to(tmp_path / target)
    assert find_files({}, tmp_path).main == link
    with pytest.raises(ConfigurationError, match=r"settings\.toml can't be read"):
        read_sections(link)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Give up root's right to read everything, for the length of a test."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def test_a_file_without_permission_is_an_error(
    write: Write, request: pytest.FixtureRequest
) -> None:
    path = write("[default]\n")
    path.chmod(0)
    request.getfixturevalue("unprivileged")
    with pytest.raises(ConfigurationError, match=r"can't be read \(Permission denied\)"):
        read_sections(path)


def test_a_folder_that_can_not_be_searched_is_an_error_and_does_not_hide_its_file(
    write: Write, request: pytest.FixtureRequest
) -> None:
    write("", "settings.toml")
    closed = write("", "closed/settings.toml").parent
    below = closed / "below"
    below.mkdir()
    closed.chmod(0)
    request.getfixturevalue("unprivileged")
    for search in (
        lambda: find_files({}, closed),
        lambda: find_files({}, below),
        lambda: find_files({"SECUREML_SETTINGS_FILE": str(closed / "settings.toml")}),
    ):
        with pytest.raises(ConfigurationError, match=r"can't be looked for \(Permission denied\)"):
            search()


def test_a_file_in_place_of_a_folder_holds_no_settings_file(write: Write) -> None:
    main = write("")
    assert find_files({}, write("x", "note.txt")).main == main


NOW = 10**18


def written_at(path: Path, nanoseconds: int) -> None:
    os.utime(path, ns=(nanoseconds, nanoseconds))


@pytest.mark.parametrize("half", ["", "[default]\n"])
def test_a_file_that_was_written_just_now_is_read_again(write: Write, half: str) -> None:
    path = write(half)
    written_at(path, NOW)
    clock = iter([NOW + 1000, NOW + 10**9])

    def go_on(seconds: float) -> None:
        assert seconds < 1
        write("[default]\nuse_env_fallback = false\n")
        written_at(path, NOW + 2000)

    assert b"use_env_fallback" in _read(path, clock=lambda: next(clock), pause=go_on)


def test_an_empty_settings_file_is_read_twice(write: Write) -> None:
    path = write("")
    pauses: list[float] = []
    assert _read(path, clock=lambda: 0, pause=pauses.append) == b""
    assert len(pauses) == 1

    def go_on(_: float) -> None:
        write("#")

    assert _read(path, clock=lambda: 0, pause=go_on) == b"#"


def test_a_file_that_changes_while_it_is_read_is_read_again(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("[default]\n")
    real, turns = os.fstat, iter(range(100))

    def fstat(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        if next(turns) == 0:  # the first look at the file: then its writer goes on
            path.write_text("[default]\nvault_path = 'all of it'\n")
        return status

    monkeypatch.setattr(os, "fstat", fstat)
    pauses: list[float] = []
    content = _read(path, clock=lambda: 0, pause=pauses.append)
    assert b"all of it" in content
    assert len(pauses) == 1


def test_a_file_that_is_written_all_the_time_is_an_error_after_some_tries(write: Write) -> None:
    path = write("[default]\n")
    written_at(path, NOW)
    pauses: list[float] = []
    with pytest.raises(ConfigurationError, match="is being written; try again"):
        _read(path, clock=lambda: NOW, pause=pauses.append)
    assert sum(pauses) < 1


def test_an_impossible_path_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        read_sections(Path("/a\0b"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('vault_url = "hunter2"', "vault_url stands outside a section; put it under [default]"),
        ("production = 1", "production must be a section; write [production]"),
        ("[[production]]\ncache_ttl = 1", "production must be a section; write [production]"),
        ("DEBUG = true\nHOST = 'hunter2'", "unknown: 'DEBUG', 'HOST' (if another program owns"),
        ("dynaconf_include = ['x.toml']", "unknown: 'dynaconf_include'"),
        ("dynaconf_merge = true", "unknown: 'dynaconf_merge'"),
        ("[prod]", "[prod]: write [production]"),
        ("[Production]", "[Production]: write [production]"),
        ("[producton]", "[producton]: did you mean [production]?"),
        ('["a\\nb"]', "['a\\nb']: the name of an environment"),
    ],
)
def test_a_misplaced_setting_is_an_error_that_says_where_it_belongs(
    write: Write, content: str, problem: str
) -> None:
    path = write(content)
    with pytest.raises(ConfigurationError) as caught:
        read_sections(path)
    assert f"{path}: {problem}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_all_problems_of_a_file_are_told_at_once(write: Write) -> None:
    path = write("vault_url = 'x'\nDEBUG = 1\n[prod]\n[dev]\n")
    with pytest.raises(ConfigurationError) as caught:
        read_sections(path)
    assert len(caught.value.problems) == 4


def test_hooks_beside_a_file_are_refused_and_not_run(write: Write, tmp_path: Path) -> None:
    path = write("[default]\n")
    write("import pathlib; pathlib.Path('ran').touch()\n", "dynaconf_hooks.py")
    with pytest.raises(ConfigurationError, match=r"dynaconf_hooks\.py lies beside it"):
        read_sections(path)
    assert not (tmp_path / "ran").exists()


def test_the_packaged_defaults_have_a_section_per_environment() -> None:
    assert list(packaged_defaults()) == ["default", *ENVIRONMENTS]
    assert packaged_defaults()["production"] == {"use_env_fallback": False}
