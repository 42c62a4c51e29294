"""Counts the files of secureml that a warm call of ``anonymize`` enters, for an SSN and a name.

A reader who follows one value meets these files. Each call is made once before it is traced, so
that imports, the fetch of the key and round tables are done.
"""

from __future__ import annotations

import sys
import threading
import warnings
from pathlib import Path
from types import FrameType

import pandas as pd

import secureml
from secureml import KeyManager, anonymize
from secureml.settings import Settings
from secureml.stores import MemoryStore

ROOT = Path(secureml.__file__).parent
VALUES = {"ssn": "123-45-6789", "class": "Alexandra Hamilton"}


def entered(data: pd.DataFrame, name: str, form: str, manager: KeyManager) -> list[str]:
    """Return the files of secureml that one call enters, in the order in which it enters them."""
    files: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            files.setdefault(frame.f_code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        anonymize(data, sensitive_columns=[name], formats={name: form}, key_manager=manager)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return [str(Path(file).relative_to(ROOT)) for file in files if file.startswith(str(ROOT))]


def main() -> None:
    """Print the files of each call, and how many they are."""
    warnings.simplefilter("ignore")
    settings = Settings(environment="development", use_env_fallback=False)
    with KeyManager(settings=settings, store=MemoryStore()) as manager:
        manager.generate_key("master_key")
        for form, value in VALUES.items():
            data = pd.DataFrame({form: [value]})
            anonymize(data, sensitive_columns=[form], formats={form: form}, key_manager=manager)
            files = entered(data, form, form, manager)
            print(f"{form}: {len(files)} files", *files, sep="\n  ")


if __name__ == "__main__":
    main()
