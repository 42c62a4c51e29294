"""Environment variables, read as they are: no parser that casts comes near them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from secureml.settings.environments import ENVIRONMENTS
from secureml.settings.schema import SETTINGS
from secureml.settings.setting import variable_of

__all__ = ["ENVIRONMENT_VARIABLE", "FILE_VARIABLE", "misspelt", "nested", "set_variables"]

ENVIRONMENT_VARIABLE = "SECUREML_ENV"
FILE_VARIABLE = "SECUREML_SETTINGS_FILE"

_FOREIGN = {
    f"{tool}_{suffix}": name
    for tool in ("VAULT", "BAO")
    for suffix, name in (
        ("ADDR", "vault_url"),
        ("TOKEN", "vault_token"),
        ("NAMESPACE", "vault_namespace"),
        ("CACERT", "vault_ca_cert"),
    )
}
"""Variables of Vault's and OpenBao's command lines, and what they set."""

_KNOWN = (ENVIRONMENT_VARIABLE, FILE_VARIABLE, *(setting.variable for setting in SETTINGS))
_STEMS = {known.removeprefix("SECUREML_"): known for known in _KNOWN}
_OFTEN_MEANT = {
    "SECUREML_ENVIRONMENT": ENVIRONMENT_VARIABLE,
    "SECUREML_SETTINGS": FILE_VARIABLE,
    "SECUREML_VAULT_ADDR": variable_of("vault_url"),
}


def set_variables(environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """List the settings that environment variables set, the weakest first.

    Vault's own variables come before OpenBao's, and these before SECUREML_ ones.

    Args:
        environ: the environment variables.

    Returns:
        Variable, setting and text of each. A variable set to nothing counts as unset.
    """
    own = {setting.variable: setting.name for setting in SETTINGS}
    found = {
        variable: name
        for variable, name in [*_FOREIGN.items(), *own.items()]
        if environ.get(variable)
    }
    # A token wins over a file that holds one, and this file was named by the stronger variable.
    names_a_file = variable_of("vault_token_file") in found
    return [
        (variable, name, environ[variable])
        for variable, name in found.items()
        if not (names_a_file and variable in _FOREIGN and name == "vault_token")
    ]


def misspelt(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Find variables that look like a setting's name misspelt.

    Any other SECUREML_ variable is a secret's (SECUREML_API_KEY), so only a close miss counts;
    SECUREML_MASTER_KEY is far enough from SECUREML_MASTER_KEY_NAME.

    Args:
        environ: the environment variables.

    Yields:
        The variable found and the one that was probably meant.
    """
    for name in sorted(environ):
        upper = name.upper()
        if not upper.startswith("SECUREML_") or name in _KNOWN:
            continue
        if upper in _OFTEN_MEANT:
            yield name, _OFTEN_MEANT[upper]
            continue
        stem = upper.removeprefix("SECUREML_")
        cutoff = 0.75 if stem.startswith(("VAULT_", "USE_")) else 0.9
        stems = _STEMS | {"ENVIRONMENT": ENVIRONMENT_VARIABLE}
        for meant in difflib.get_close_matches(stem, stems, n=1, cutoff=cutoff):
            yield name, stems[meant]


def nested(environ: Mapping[str, str]) -> Iterator[str]:
    """Find variables that name an entry of a table, as Dynaconf's SECUREML_COLUMNS__SSN would.

    Args:
        environ: the environment variables.

    Yields:
        Those that begin with a setting's or a section's name and two underscores.
    """
    for name in sorted(environ):
        stem, two, _ = name.upper().removeprefix("SECUREML_").partition("__")
        known = stem in _STEMS or stem.lower() in {"default", *ENVIRONMENTS}
        if two and known and name.upper().startswith("SECUREML_"):
            yield name
