"""The registry: what is built in, and what other packages register as entry points."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from secureml import KeyManager, anonymize, reidentify, rekey
from secureml.errors import ConfigurationError, ManifestError, PseudonymizationError
from secureml.pseudonymization.formats import format_type, make_format, options_of, resolve_format
from secureml.pseudonymization.strategies import strategy_type
from secureml.registry import FORMATS, STRATEGIES, VENDOR_NAME
from secureml.settings.rules import OPTIONS, Rules
from secureml.stores import MemoryStore

Install = Callable[..., None]
CODE = """
from secureml.pseudonymization.formats import Format
from secureml.pseudonymization.formats.characters import DigitsFormat
from secureml.pseudonymization.strategies.token import Token

class Digits(DigitsFormat):
    name = "acme:digits/1"

class Other(DigitsFormat):
    name = "acme:other/2"

class Nameless(Format):
    pass

class Sealed(Token):
    algorithm = "acme-siv"
    second = None

function = len
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Make an installed package of one module, which registers classes as entry points."""
    modules: list[str] = []

    def install(
        code: str = CODE,
        *,
        package: str = "acme-formats",
        formats: dict[str, str] | None = None,
        strategies: dict[str, str] | None = None,
    ) -> None:
        module = package.replace("-", "_")
        folder = tmp_path / package
        metadata = folder / f"{module}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (folder / f"{module}.py").write_text(code)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        )
        groups = {"formats": formats or {}, "strategies": strategies or {}}
        (metadata / "entry_points.txt").write_text(
            "".join(
                f"[secureml.{group}]\n"
                + "".join(f"{name} = {module}:{where}\n" for name, where in entries.items())
                for group, entries in groups.items()
            )
        )
        monkeypatch.syspath_prepend(str(folder))
        modules.append(module)

    yield install
    format_type.cache_clear()
    strategy_type.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


def test_every_built_in_format_is_declared_as_it_is() -> None:
    for name, entry in FORMATS.built_in.items():
        kind = format_type(name)
        assert kind.name == name
        assert kind.takes
        assert set(options_of(kind)) == set(entry.options)
        assert entry.argument is None or entry.argument in entry.options


def test_every_built_in_strategy_is_declared_as_it_is() -> None:
    for name, entry in STRATEGIES.built_in.items():
        # What is an option of the class Fpe alone, a rule does not say.
        assert set(options_of(strategy_type(name))) - {"smallest"} == set(entry.options)


def test_an_option_has_the_same_types_wherever_it_is_declared() -> None:
    entries = (*FORMATS.built_in.values(), *STRATEGIES.built_in.values())
    declared = [pair for entry in entries for pair in entry.options.items()]
    assert all(OPTIONS[name] == kinds for name, kinds in declared)
    assert {name for name, _ in declared} == set(OPTIONS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acme:plate/1", True),
        ("acme-corp.de:nhs_number/12", True),
        ("acme:plate", False),
        ("acme:plate/0", False),
        ("acme:plate/1\n", False),
        ("plate/1", False),
        ("Acme:plate/1", False),
        ("acme:/1", False),
        ("acme:a/b/1", False),
        ("alphabet:abc/1", False),
        ("regex:a/1", False),
        ("", False),
    ],
)
def test_other_packages_may_register_names_of_their_own_alone(name: str, expected: bool) -> None:
    assert bool(VENDOR_NAME.fullmatch(name)) is expected


def test_rules_are_checked_without_numpy_and_without_looking_for_other_packages(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    program = (
        "import sys\n"
        "from secureml.settings import json_schema\n"
        "from secureml.settings.rules import Rules\n"
        "Rules.read({'a': {'strategy': 'fpe', 'format': 'ssn'},"
        " 'b': {'strategy': 'acme:pin/1', 'size': 3}}, 'columns')\n"
        "json_schema()\n"
        "print({'numpy', 'pandas', 'importlib.metadata'} & sys.modules.keys())\n"
    )
    done = run_python("-c", program)
    assert done.stdout == "set()\n", done.stderr


def test_one_format_is_imported_without_the_others(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    program = (
        "import sys, secureml.anonymization.apply\n"
        "from secureml.pseudonymization.formats import resolve_format\n"
        "resolve_format('ssn', {})\n"
        "room = 'secureml.pseudonymization.formats.'\n"
        "print(sorted(name.removeprefix(room) for name in sys.modules if name.startswith(room)))\n"
    )
    loaded = run_python("-c", program).stdout
    assert "ssn" in loaded
    assert "iban" not in loaded
    assert "phone" not in loaded


def test_a_format_of_another_package_is_found_by_its_full_name(install: Install) -> None:
    install(formats={"acme:digits/1": "Digits"})
    assert resolve_format("acme:digits/1", {}).name == "acme:digits/1"
    with pytest.raises(PseudonymizationError, match="'acme:digits/1' has no option 'more'"):
        make_format("acme:digits/1", {"more": 1})


@pytest.mark.parametrize("registry", [FORMATS, STRATEGIES])
def test_a_name_that_no_package_registers_is_an_error_that_tells_what_to_install(registry) -> None:  # type: ignore[no-untyped-def]  # Registry
    with pytest.raises(PseudonymizationError) as caught:
        registry.load("acme:none/1", object)
    assert caught.value.message == (
        f"the {registry.what} 'acme:none/1' is not installed: install the package of 'acme' that"
        f" registers it as an entry point of 'secureml.{registry.plural}'"
    )


@pytest.mark.parametrize(
    ("code", "where", "problem"),
    [
        ("import acme_missing", "Digits", "ModuleNotFoundError: No module named 'acme_missing'"),
        ("1 / 0", "Digits", "ZeroDivisionError at acme[a-z_]*:Digits"),
        (CODE, "Missing", "AttributeError at .*:Missing"),
        (CODE, "Sealed", "is not a subclass of Format"),
        (CODE, "function", "is not a subclass of Format"),
    ],
)
def test_a_broken_package_is_named_with_what_is_wrong(
    install: Install, code: str, where: str, problem: str
) -> None:
    install(code, formats={"acme:digits/1": where})
    message = (
        f"'acme:digits/1' of the package acme-formats can't be used: .*{problem} \\(SML-400\\)$"
    )
    with pytest.raises(PseudonymizationError, match=message) as caught:
        make_format("acme:digits/1", {})
    assert caught.value.__context__ is None
    assert resolve_format("ssn", {}).name == "ssn/1"


@pytest.mark.parametrize(("kind", "own"), [("Other", "'acme:other/2'"), ("Nameless", "None")])
def test_a_class_of_another_name_than_it_is_registered_by_is_refused(
    install: Install, kind: str, own: str
) -> None:
    install(formats={"acme:digits/1": kind})
    with pytest.raises(PseudonymizationError, match=f"its name is {own}"):
        make_format("acme:digits/1", {})


def test_a_name_that_two_packages_register_is_refused(install: Install) -> None:
    install(formats={"acme:digits/1": "Digits"})
    install(package="copied", formats={"acme:digits/1": "Digits"})
    with pytest.raises(PseudonymizationError, match="several packages: acme-formats, copied; keep"):
        make_format("acme:digits/1", {})


def test_no_package_replaces_a_built_in_one_or_is_run_under_a_name_without_a_vendor(
    install: Install,
) -> None:
    names = ("ssn/1", "ssn", "plate/1", "plate", "alphabet:a/1")
    install("raise SystemExit", formats=dict.fromkeys(names, "Digits"))
    assert make_format("ssn/1", {}).name == resolve_format("ssn", {}).name == "ssn/1"
    assert resolve_format("alphabet:a/1", {}).options == {"characters": "a/1"}
    for name in ("plate/1", "plate"):
        with pytest.raises(PseudonymizationError, match="no format"):
            resolve_format(name, {})
        with pytest.raises(PseudonymizationError, match="no format"):
            make_format(name, {})


def test_a_rule_of_another_package_is_read_without_importing_it(install: Install) -> None:
    install("raise SystemExit", formats={"acme:digits/1": "Digits"})
    rule = {"strategy": "fpe", "format": "acme:digits/1", "size": 3, "names": ["a"], "bits": "x"}
    rules = Rules.read({"n": rule}, "columns")
    assert rules["n"].options == {"size": 3, "names": ["a"], "bits": "x"}
    assert rules.document() == {"n": rule}
    with pytest.raises(ConfigurationError, match=r"must be one of: .*, or vendor:name/1"):
        Rules.read({"n": {"strategy": "fpe", "format": "acme:digits"}}, "columns")
    with pytest.raises(ConfigurationError, match="ratio must be text or a whole number or true"):
        Rules.read({"n": {"strategy": "acme:pin/1", "ratio": 1.5}}, "columns")
    with pytest.raises(ConfigurationError, match="unknown key 'size'"):
        Rules.read({"n": {"strategy": "fpe", "format": "ssn", "size": 3}}, "columns")


def test_a_table_of_another_package_is_refused_without_it_and_changed_with_it(
    install: Install,
) -> None:
    manager = KeyManager(environment="development", store=MemoryStore())
    manager.generate_key("master_key")
    manager.generate_key("next_key")
    table = pd.DataFrame({"n": ["1234567", "7654321"], "name": ["Zoë", ""]})
    made = {
        "sensitive_columns": ["n", "name"],
        "formats": {"n": "acme:digits/1"},
        "strategy": {"name": "acme:sealed/1"},
        "key_manager": manager,
    }
    with pytest.raises(PseudonymizationError, match="'acme:sealed/1' is not installed"):
        anonymize(table, **made)
    install(formats={"acme:digits/1": "Digits"}, strategies={"acme:sealed/1": "Sealed"})
    hidden = anonymize(table, **made)
    columns = hidden.attrs["secureml"]["columns"]
    assert columns["n"]["format"] == "acme:digits/1"
    assert (columns["name"]["strategy"], columns["name"]["algorithm"]) == (
        "acme:sealed/1",
        "acme-siv",
    )
    assert hidden["name"].tolist() != table["name"].tolist()
    moved = rekey(hidden, to_key="next_key", key_manager=manager)
    assert moved.attrs["secureml"]["columns"]["n"]["format"] == "acme:digits/1"
    for one in (hidden, moved):
        pd.testing.assert_frame_equal(reidentify(one, key_manager=manager), table)

    format_type.cache_clear()
    strategy_type.cache_clear()
    sys.path.pop(0)
    for change in (reidentify, partial(rekey, to_key="next_key")):
        with pytest.raises(ManifestError, match="column 'n': the format 'acme:digits/1' is not"):
            change(hidden, key_manager=manager)
