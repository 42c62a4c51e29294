"""Environment variables, read as they are: no parser that casts comes near them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from secureml.settings.environments import ENVIRONMENTS, nearest
from secureml.settings.schema import SETTINGS
from secureml.settings.setting import variable_of

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "FILE_VARIABLE",
    "is_own",
    "misspelt",
    "nested",
    "set_variables",
]

ENVIRONMENT_VARIABLE = "SECUREML_ENV"
FILE_VARIABLE = "SECUREML_SETTINGS_FILE"

_TOOLS = ("VAULT", "BAO")
_FOREIGN = {
    "ADDR": "vault_url",
    "TOKEN": "vault_token",
    "NAMESPACE": "vault_namespace",
    "CACERT": "vault_ca_cert",
}
"""Variables of Vault's and OpenBao's command lines, behind their prefix, and what they set."""

_OWN = ("SECUREML_", "_SECUREML_", *(f"{tool}_" for tool in _TOOLS))
_KNOWN = (ENVIRONMENT_VARIABLE, FILE_VARIABLE, *(setting.variable for setting in SETTINGS))
_STEMS = {known.removeprefix("SECUREML_"): known for known in _KNOWN}
_OFTEN_MEANT = {
    "SECUREML_ENVIRONMENT": ENVIRONMENT_VARIABLE,
    "SECUREML_SETTINGS": FILE_VARIABLE,
    "SECUREML_VAULT_ADDR": variable_of("vault_url"),
}


def set_variables(environ: Mapping[str, str]) -> list[dict[str, str]]:
    """Find the variables that set settings, in three layers.

    Args:
        environ: the environment variables.

    Returns:
        By setting, its variable: Vault's own, OpenBao's, and at last those of secureml, which are
        the strongest. A variable set to nothing counts as unset.
    """
    layers = [{name: f"{tool}_{end}" for end, name in _FOREIGN.items()} for tool in _TOOLS]
    layers.append({setting.name: setting.variable for setting in SETTINGS})
    return [
        {name: variable for name, variable in layer.items() if environ.get(variable)}
        for layer in layers
    ]


def is_own(name: str) -> bool:
    """Tell whether a variable is one of secureml, or of Vault's or OpenBao's command line.

    Args:
        name: the variable; any that begins with their prefix counts, secrets among them.
    """
    return name.startswith(_OWN)


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
        meant = nearest(stem, stems, cutoff)
        if meant:
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
