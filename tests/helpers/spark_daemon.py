"""The daemon of Spark's Python workers, with the keys of the contract of frames in memory."""

from __future__ import annotations

import json

from pyspark.daemon import manager

from helpers.frames import GOLDEN, KEYS
from secureml.key_management import configure_default_key_manager
from secureml.stores import MemoryStore


def main() -> None:
    """Give workers every version of every key; which one a job means, its check tells.

    Manifests of schema 2 name versions without a check, so that those keys have their numbers.
    """
    store = MemoryStore()
    golden = max((json.loads(path.read_text("utf-8"))["keys"] for path in GOLDEN), key=len)
    for key in (*golden, *KEYS):
        store.write("master_key", {"value": key, "encoding": "hex"}, cas=None)
    configure_default_key_manager(store=store, environment="development")
    manager()


if __name__ == "__main__":
    main()
