from __future__ import annotations

from dataclasses import replace

import pytest

from secureml.errors import ConfigurationError
from secureml.settings import Layers, Settings, Tier, load_settings, tier_of
from secureml.settings.environments import did_you_mean, resolve, section_problem


@pytest.mark.parametrize(
    ("name", "tier"),
    [
        (None, Tier.STRICT),
        ("development", Tier.DEVELOPMENT),
        ("Dev", Tier.DEVELOPMENT),
        ("staging", Tier.STAGING),
        ("production", Tier.STRICT),
        ("prod", Tier.STRICT),
        ("canary", Tier.STRICT),
        ("developmen", Tier.STRICT),
        ("", Tier.STRICT),
    ],
)
def test_whatever_is_not_development_or_staging_is_strict(name: str | None, tier: Tier) -> None:
    assert tier_of(name) is tier


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("production", "production"),
        ("PROD", "production"),
        ("Stage", "staging"),
        (" dev\n", "development"),
        ("DEVELOPMENT", "development"),
        ("Canary", "canary"),
    ],
)
def test_a_name_is_found_in_any_case_and_by_its_alias(name: str, environment: str) -> None:
    assert resolve(name, {"canary"}) == environment


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("producton", "did you mean 'production'?"),
        ("stagging", "did you mean 'staging'?"),
        ("develop", "did you mean 'development'?"),
        ("deve", "did you mean 'development'?"),
        ("canery", "did you mean 'canary'?"),
        ("default", "known: development, staging, production, canary"),
        ("", "known: "),
        ("qa", "known: "),
    ],
)
def test_an_unknown_name_is_an_error_that_suggests_the_nearest(name: str, suggestion: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(name, {"canary"})
    assert suggestion in str(caught.value)


@pytest.mark.parametrize(
    ("word", "end"),
    [("vault_tocken", "; did you mean 'vault_token'?"), ("tocken", ""), ("", ""), ("token", "")],
)
def test_a_name_that_is_like_no_other_has_no_suggestion(word: str, end: str) -> None:
    assert did_you_mean(word, ["vault_token", "vault_url"], 0.8) == end


@pytest.mark.parametrize(
    "section",
    [
        "default",
        "development",
        "staging",
        "production",
        "canary",
        "production-eu",
        "staging2",
        "qa",
    ],
)
def test_a_section_may_be_named_after_any_environment(section: str) -> None:
    assert section_problem(section) is None


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("prod", "write [production]"),
        ("Dev", "write [development]"),
        ("Production", "write [production]"),
        ("DEFAULT", "write [default]"),
        ("Canary", "write [canary]"),
        ("producton", "did you mean [production]?"),
        ("developement", "did you mean [development]?"),
        ("stagin", "did you mean [staging]?"),
        ("defaults", "did you mean [default]?"),
        ("global", "write [default]"),
        ("secureml", "write [default]"),
        ("", "made of a-z"),
        ("a b", "made of a-z"),
        ("../x", "made of a-z"),
        ("x" * 64, "made of a-z"),
    ],
)
def test_a_section_that_nothing_would_select_is_an_error(section: str, problem: str) -> None:
    assert problem in str(section_problem(section))


@pytest.mark.parametrize(
    ("environment", "env_fallback"),
    [(None, True), ("dev", True), ("staging", True), ("Prod", False), ("production-eu", False)],
)
def test_settings_made_by_hand_have_the_defaults_of_their_tier(
    environment: str | None, env_fallback: bool
) -> None:
    settings = Settings(environment=environment)
    assert settings.use_env_fallback is env_fallback
    assert Settings(environment=environment, use_env_fallback=True).use_env_fallback is True
    assert Settings(environment=environment, use_env_fallback=False).use_env_fallback is False
    if environment != "production-eu":
        loaded = load_settings(Layers((), environment))
        assert settings.origins["use_env_fallback"] == loaded.origins["use_env_fallback"]


@pytest.mark.parametrize("environment", ["production", "production-eu"])
def test_settings_that_move_to_a_stricter_tier_leave_the_defaults_of_theirs(
    environment: str,
) -> None:
    for before in (Settings(environment="staging"), load_settings(Layers((), "staging"))):
        assert replace(before, environment=environment).use_env_fallback is False
    explicit = Settings(environment="staging", use_env_fallback=True)
    assert replace(explicit, environment=environment).use_env_fallback is True
