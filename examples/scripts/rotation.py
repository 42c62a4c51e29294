"""Rotate a key: tables made before can still be recovered, and can be moved to the new version.

SECUREML_VAULT_URL and SECUREML_VAULT_TOKEN say where Vault is, or `secureml keys configure-vault`
has saved it.
"""

from functools import partial

import pandas as pd

from secureml import KeyManager, anonymize, reidentify, rekey
from secureml.errors import SecretExistsError

NAME = "rotation_example"
table = pd.DataFrame({"ssn": ["219-09-9999", "123-45-6789", "457-55-5462"]})

with KeyManager() as manager:
    try:
        manager.generate_key(NAME)
    except SecretExistsError:
        print("using the key that is there")

    hide = partial(anonymize, sensitive_columns=["ssn"], master_key_name=NAME, key_manager=manager)
    before = hide(table)
    print("rotated to version", manager.rotate_key(NAME).version)
    after = hide(table)

    print("old and new differ:", not before["ssn"].isin(after["ssn"]).any())
    print("old is recovered:", reidentify(before, key_manager=manager).equals(table))
    print("new is recovered:", reidentify(after, key_manager=manager).equals(table))

    moved = rekey(before, key_manager=manager)
    print("old moved to the new version equals new:", moved.equals(after))

    for version in manager.key_history(NAME):
        print(f"version {version.version}: {version.state}, fingerprint {version.fingerprint}")
