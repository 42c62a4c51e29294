"""Pseudonymize a table and recover it. No server is needed.

The key is that of SECUREML_MASTER_KEY (64 hexadecimal digits) where the variable is set, and the
public development key elsewhere.
"""

import pandas as pd

from secureml import KeyManager, anonymize, reidentify

customers = pd.DataFrame(
    {
        "name": ["Zoë O'Neill", "José Ruiz-Soto", "Müller, Jürgen"],
        "ssn": ["219-09-9999", "123-45-6789", None],
        "income": [41_000, 38_500, 52_250],
    }
)

with KeyManager(environment="development", use_default_fallback=True) as manager:
    hidden = anonymize(customers, sensitive_columns=["name", "ssn"], key_manager=manager)
    print(hidden)

    recovered = reidentify(hidden, key_manager=manager)
    print("recovered exactly:", recovered.equals(customers))
