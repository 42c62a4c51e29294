"""Make a key in Vault, read it, and keep another secret beside it.

SECUREML_VAULT_URL and SECUREML_VAULT_TOKEN say where Vault is, or `secureml keys configure-vault`
has saved it.
"""

from secureml import KeyManager
from secureml.errors import SecretExistsError

with KeyManager() as manager:
    try:
        info = manager.generate_key("orders_key")
        print("made", end=" ")
    except SecretExistsError:
        info = manager.key_info("orders_key")
        print("found", end=" ")
    print(f"{info.path}, version {info.version}, fingerprint {info.fingerprint}")

    key = manager.get_encryption_key("orders_key")
    print(len(key), "bytes, the same each time:", key == manager.get_encryption_key("orders_key"))

    # One key per purpose: whoever has one of them can't compute another, nor the key itself.
    signing = manager.derive_key(key, purpose="signing of exports")
    sealing = manager.derive_key(key, purpose="encryption of exports", key_bytes=64)
    print("derived:", len(signing), "and", len(sealing), "bytes")

    manager.set_secret("reporting/database", {"user": "reports", "host": "db.example.com"})
    print("user:", manager.get_secret("reporting/database")["user"])
    print("absent:", manager.get_secret("reporting/no-such-secret", default="none"))
