"""A table for the commands."""

from __future__ import annotations

TABLE = "ssn,name,n\n" + "".join(f"{n}-12-3456,Ann Nr {n:07},{n}\n" for n in range(100, 200))
