from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from secureml.errors import ConfigurationError
from secureml.settings import Layers, load_settings
from secureml.settings.rules import ColumnRule, Profiles, Rules


def rules(**columns: dict[str, object]) -> Rules:
    return Rules.read(columns, "columns")


def load(text: str, environment: str | None = None, **arguments: object):  # type: ignore[no-untyped-def]  # Settings
    Path("settings.toml").write_text(text)
    return load_settings(Layers(environment=environment, arguments=arguments))


def test_a_rule_of_a_file_is_read_whole() -> None:
    settings = load(
        """
        [default.columns.ssn]
        strategy = "fpe"
        format = "ssn"
        small_domain = "permute"
        [default.columns."*email*"]
        strategy = "token"
        domain = "email"
        prefix = "e_"
        [default.profiles.research.columns.income]
        strategy = "mask"
        keep_first = 1
        """
    )
    assert settings.columns["ssn"] == ColumnRule(
        strategy="fpe", format="ssn", small_domain="permute"
    )
    assert settings.columns["*email*"].options == {"prefix": "e_"}
    assert settings.profiles["research"]["income"].options == {"keep_first": 1}
    assert settings.origins["columns"] == "settings.toml [default]"
    assert not settings.strict_columns
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_a_stronger_section_replaces_a_rule_whole_and_leaves_the_others() -> None:
    text = """
        [default.columns.ssn]
        strategy = "fpe"
        format = "ssn"
        [default.columns.name]
        strategy = "fpe"
        [default.profiles.research.columns.name]
        strategy = "hash"
        [production.columns.ssn]
        strategy = "token"
        [production.profiles.research.columns.ssn]
        strategy = "redact"
        """
    settings = load(text, "production")
    assert settings.columns["ssn"] == ColumnRule(strategy="token")
    assert settings.columns["name"] == ColumnRule(strategy="fpe")
    assert set(settings.profiles["research"]) == {"name", "ssn"}
    assert load(text).columns["ssn"].format == "ssn"
    given = load(text, columns={"name": {"strategy": "null"}})
    assert given.columns["name"].strategy == "null"
    assert given.columns["ssn"].strategy == "fpe"


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ("email", "email"),
        ("EMAIL", "email"),
        ("work_email", "*email*"),
        ("Work_Email_2", "work_email_?"),
        ("work_email_22", "*email*"),
        ("phone", None),
        ("NAME", "Name"),
        ("Pay[USD]", "Pay[USD]"),
        ("PayU", None),
        ("Zone[12] a", "Zone[12]*"),
        ("Zone1", None),
        ("eu_address", "*_address"),
    ],
)
def test_the_nearest_name_or_pattern_wins(column: str, found: str | None) -> None:
    names = ["*email*", "email", "work_email_?", "Name", "Pay[USD]", "Zone[12]*"]
    names += ["eu*", "*_address"]
    given = rules(**{name: {"strategy": "hash", "domain": name} for name in names})
    rule = given.of(column)
    assert (rule.domain if rule else None) == found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("patient.name", "patient.name"),
        ("patientXname", None),
        ("Items[].Email", "items[].email"),
        ("items[].phone", "items[].*"),
        ("items.phone", None),
        ("itemse", None),
        ("matrix[][]", "m*[][]"),
        ("matrix[]", None),
        ("tags{}", "tags{}"),
        ("tags{}.x", "*{}.?"),
        ("tags{keys}", "*{keys}"),
        (r"a.b\.c", r"a.b\.c"),
        ("a.b.c", None),
        (".a.b", ".a.b"),
    ],
)
def test_the_signs_of_a_path_are_themselves_in_a_rule(path: str, found: str | None) -> None:
    names = ["patient.name", "items[].email", "items[].*", "m*[][]", "tags{}", "*{}.?", "*{keys}"]
    tables = "".join(
        f"[default.columns.'{name}']\nstrategy = 'hash'\ndomain = '{name}'\n"
        for name in (*names, r"a.b\.c", ".a.b")
    )
    rule = load(tables).columns.of(path)
    assert (rule.domain if rule else None) == found


def test_a_stronger_rule_replaces_a_weaker_one_of_another_spelling() -> None:
    text = """
        [default.columns.SSN]
        strategy = "keep"
        [default.columns."*MAIL*"]
        strategy = "keep"
        [default.profiles.Research.columns.Income]
        strategy = "keep"
        [production.columns.ssn]
        strategy = "fpe"
        format = "ssn"
        [production.columns."*mail*"]
        strategy = "token"
        [production.profiles.research.columns.income]
        strategy = "mask"
        """
    settings = load(text, "production")
    for column in ("SSN", "ssn", "Ssn"):
        assert settings.columns.of(column) == ColumnRule(strategy="fpe", format="ssn")
    assert settings.columns.of("Work_Mail") == ColumnRule(strategy="token")
    assert list(settings.columns) == ["ssn", "*mail*"]
    assert list(settings.profiles) == ["research"]
    for profile in ("Research", "research"):
        assert settings.profiles[profile]["INCOME"] == ColumnRule(strategy="mask")


@pytest.mark.parametrize(
    "text",
    [
        "[default.columns.SSN]\nstrategy = 'keep'\n[default.columns.ssn]\nstrategy = 'fpe'\n",
        "[default.columns.'Straße']\nstrategy = 'keep'\n"
        "[default.columns.STRASSE]\nstrategy = 'fpe'\n",
        "[default.profiles.lab.columns.a]\nstrategy = 'keep'\n"
        "[default.profiles.lab.columns.A]\nstrategy = 'fpe'\n",
        "[default.profiles.lab]\ncolumns = {}\n[default.profiles.LAB]\ncolumns = {}\n",
    ],
)
def test_two_spellings_of_one_name_in_a_section_are_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"s\.\w+: .* differ only in case"):
        load(text)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"strategy": "fep"}, r"columns\.a: strategy must be one of: .* did you mean 'fpe'\?"),
        ({"stratgy": "fpe"}, r"columns\.a: unknown key 'stratgy'; did you mean 'strategy'\?"),
        ({}, r"columns\.a: names no strategy"),
        ({"strategy": ""}, "strategy must be text and not empty"),
        ({"strategy": 1}, "strategy must be text and not empty"),
        ({"strategy": "fpe", "keep_first": "1"}, "keep_first must be a whole number"),
        ({"strategy": "fpe", "keep_first": True}, "keep_first must be a whole number"),
        ({"strategy": "fpe", "small_domain": "tokens"}, "did you mean 'token'"),
        ({"strategy": "fpe", "normalize": "NFD"}, "must be one of: NFC"),
        ("fpe", "must be a table"),
    ],
)
def test_a_wrong_entry_of_a_rule_is_told_by_its_place(rule: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Rules.read({"a": rule}, "columns")


def test_all_problems_of_all_rules_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(
            """
            [default]
            profiles = { lab = { columns = { x = { strategy = "hsah" } } } }
            [default.columns.a]
            strategy = "hunter2"
            colour = "hunter2"
            [default.columns.b]
            bits = "hunter2"
            """
        )
    text = str(caught.value)
    for place in ("columns.a: strategy", "columns.a: unknown key 'colour'", "columns.b: bits"):
        assert place in text
    assert "profiles.lab.columns.x: strategy must be one of" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("table", ["x", {"lab": {"ssn": {}}}, {"lab": 1}, {"lab": {}}])
def test_a_profile_holds_rules(table: object) -> None:
    with pytest.raises(ConfigurationError, match="profiles"):
        Profiles.read(table, "profiles")


def test_a_profile_may_have_a_prefix_of_domains() -> None:
    text = """
        [default]
        domain_prefix = "house"
        [default.profiles.research]
        domain_prefix = "research"
        [default.profiles.research.columns.income]
        strategy = "mask"
        [default.profiles.press.columns.income]
        strategy = "redact"
        [production.profiles.Research.columns.ssn]
        strategy = "hash"
        [production.profiles.press]
        domain_prefix = "press"
        """
    settings = load(text, "production")
    assert settings.domain_prefix == "house"
    research, press = settings.profiles["research"], settings.profiles["press"]
    assert (research.domain_prefix, set(research)) == ("research", {"income", "ssn"})
    assert (press.domain_prefix, set(press)) == ("press", {"income"})
    assert load(text).profiles["press"].domain_prefix is None
    document = settings.profiles.document()
    assert Profiles.read(document, "profiles") == settings.profiles
    only = Profiles.read({"lab": {"domain_prefix": "lab"}}, "profiles")
    assert only.document() == {"lab": {"domain_prefix": "lab"}}
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize("prefix", ["", 1, None, ["lab"]])
def test_a_prefix_of_domains_is_text(prefix: object) -> None:
    table = {"lab": {"columns": {}, "domain_prefix": prefix}}
    with pytest.raises(ConfigurationError, match=r"profiles\.lab\.domain_prefix must be text"):
        Profiles.read(table, "profiles")


def test_rules_can_not_be_set_by_a_variable_or_in_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECUREML_COLUMNS", "{}")
    with pytest.raises(ConfigurationError, match="columns is a table: write it in a settings file"):
        load_settings(Layers())
    monkeypatch.delenv("SECUREML_COLUMNS")
    with pytest.raises(ConfigurationError, match="columns can't be set in Vault"):
        load_settings(Layers(), vault_record={"columns": {}})


def test_another_strategy_or_format_drops_the_options_of_the_weaker_one() -> None:
    weaker = ColumnRule(strategy="fpe", format="ssn", domain="d", options={"a": 1})
    assert ColumnRule(strategy="hash").over(weaker) == ColumnRule(strategy="hash", domain="d")
    assert ColumnRule(format="digits").over(weaker) == ColumnRule(
        strategy="fpe", format="digits", domain="d"
    )
    assert ColumnRule(options={"b": 2}).over(weaker).options == {"a": 1, "b": 2}
    assert ColumnRule(strategy="fpe", format="ssn").over(weaker) == weaker
