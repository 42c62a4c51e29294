"""The SECUREML_ environment variables, read as they are: no parser that casts comes near them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from secureml.settings.schema import SETTINGS
from secureml.settings.setting import variable_of

__all__ = ["ENVIRONMENT_VARIABLE", "FILE_VARIABLE", "misspelt", "set_variables"]

ENVIRONMENT_VARIABLE = "SECUREML_ENV"
FILE_VARIABLE = "SECUREML_SETTINGS_FILE"

_KNOWN = (ENVIRONMENT_VARIABLE, FILE_VARIABLE, *(setting.variable for setting in SETTINGS))
_OFTEN_MEANT = {
    "SECUREML_ENVIRONMENT": ENVIRONMENT_VARIABLE,
    "SECUREML_SETTINGS": FILE_VARIABLE,
    "SECUREML_VAULT_ADDR": variable_of("vault_url"),
}


def set_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that the environment variables set.

    Args:
        environ: the environment variables.

    Returns:
        The text of each by the setting's name. A variable set to nothing counts as unset.
    """
    return {
        setting.name: environ[setting.variable]
        for setting in SETTINGS
        if environ.get(setting.variable)
    }


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
        stems = [known.removeprefix("SECUREML_") for known in _KNOWN]
        for meant in difflib.get_close_matches(stem, stems, n=1, cutoff=cutoff):
            yield name, f"SECUREML_{meant}"
