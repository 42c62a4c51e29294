"""A job that stops for ever at one of its calls of the database; the test kills it there.

Its arguments are the URL, the name of the method of ``Session``, and the number of the call.
"""

from __future__ import annotations

import sys
import threading
from itertools import count
from typing import Any

from secureml.engines.postgres.database import Session
from secureml.key_management import KeyManager
from secureml.postgres import anonymize_tables
from secureml.stores import MemoryStore

url, method, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
manager = KeyManager(store=MemoryStore(), environment="staging")
manager.generate_key("master_key")
calls = count(1)
call = getattr(Session, method)


def counted(session: Session, *arguments: Any, **more: Any) -> Any:
    if next(calls) == last:
        print("stopped", flush=True)
        threading.Event().wait()
    return call(session, *arguments, **more)


setattr(Session, method, counted)
tables = {"people": "hidden", "visits": "hidden_visits"}
anonymize_tables(url, tables, None, ["ssn"], if_exists="replace", key_manager=manager)
print(next(calls) - 1, flush=True)
