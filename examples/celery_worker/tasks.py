"""A worker that pseudonymizes files: celery --app tasks worker --pool prefork."""

import os
from pathlib import Path

from celery import Celery, signals

from secureml.errors import VaultUnavailableError
from secureml.files import anonymize_file
from secureml.key_management import get_default_key_manager

app = Celery("tasks", broker=os.environ.get("BROKER_URL", "memory://"))


@app.task(autoretry_for=(VaultUnavailableError,), retry_backoff=True, max_retries=5)
def hide(source: str, target: str) -> int:
    """Pseudonymize a file; a broker gets paths, and neither rows nor keys."""
    return anonymize_file(Path(source), Path(target), sensitive_columns=["ssn"]).rows


@signals.worker_process_shutdown.connect
def give_login_up(**_: object) -> None:
    """Celery ends its workers by os._exit, which runs nothing at the end."""
    get_default_key_manager().close()
