"""An application with a Dynaconf of its own, which has its secrets and its keys from Vault.

SECUREML_VAULT_URL and SECUREML_VAULT_TOKEN say where Vault is. `db_password` is a field of the
record `secureml/<environment>/dynaconf` there:

    vault kv put secret/secureml/development/dynaconf db_password=swordfish
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from dynaconf import Dynaconf

from secureml import KeyManager, configure, get_settings

APP = """
[default]
db_user = "reports"
[default.secureml]
master_key_name = "reports_key"
[production.secureml]
master_key_name = "reports_key_2027"
"""

with TemporaryDirectory() as folder:
    file = Path(folder, "app.toml")
    file.write_text(APP)
    settings = Dynaconf(
        settings_files=[str(file)],
        environments=True,
        env="development",
        envvar_prefix="REPORTS",
        loaders=["dynaconf.loaders.env_loader", "secureml.dynaconf"],
    )
    print(f"{settings.db_user} logs in with a password of {len(settings.db_password)} characters")

    # The section of the selected environment holds for the keys, as long as it is selected.
    configure(environment="development", host=settings.secureml)
    print("key:", get_settings().master_key_name)
    with settings.using_env("production"):
        print("key in production:", get_settings().master_key_name)

    with KeyManager() as manager:
        print("key in development:", manager.settings.master_key_name)
