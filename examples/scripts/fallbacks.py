"""Show where each environment takes a key from, and where it refuses.

The first column is the Vault that the settings name, if they do; nobody answers in the others.
"""

import os
import warnings

from secureml import KeyManager
from secureml.errors import SecureMLError, SecureMLWarning

DOWN = {"vault_url": "http://127.0.0.1:9", "vault_token": "unused", "vault_timeout": 0.5}


def source(environment, **arguments):
    """Return where the master key comes from, or the error that there is."""
    try:
        return KeyManager(environment=environment, **arguments).key_info().source
    except SecureMLError as error:
        return type(error).__name__


# Each fallback while Vault is down warns; the table says it already.
warnings.simplefilter("ignore", SecureMLWarning)
rows = [("environment", "as configured", "down", "down, default on", "down, key in variable")]
for environment in ("development", "staging", "production", None):
    os.environ.pop("SECUREML_MASTER_KEY", None)
    as_configured = source(environment)
    down = source(environment, **DOWN)
    default = source(environment, **DOWN, use_default_fallback=True)
    os.environ["SECUREML_MASTER_KEY"] = "5e" * 32
    variable = source(environment, **DOWN)
    rows.append((str(environment), as_configured, down, default, variable))

for row in rows:
    print("  ".join(f"{cell:<22}" for cell in row).rstrip())
