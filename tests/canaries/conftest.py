"""A key that must not be seen, and what reports tell of an error."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import logging
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType

import pandas as pd
import pytest
import rich.traceback

from secureml.key_management import KeyManager
from secureml.keys import Key, derive
from secureml.stores import MemoryStore
from secureml.testing.canary import Detector

PURPOSE = "canary/purpose"
COLUMN = "serial"


def material() -> bytes:
    """The key. It is called for where it is needed, so that no test holds it in a variable."""
    return hashlib.sha256(b"canary").digest()


def derived_materials() -> Iterator[bytes]:
    """What is derived of it here, and what ``anonymize`` derives of it for a column."""
    yield derive(material(), PURPOSE, 32)
    yield derive(material(), "pseudonymization/manifest", 32)
    yield derive(material(), "pseudonymization/sample", 56)
    yield derive(material(), "pseudonymization/pairs", 56)
    yield derive(material(), "pseudonymization/sketch", 64)
    for purpose, size in {"fpe": 32, "token": 64, "siv": 64, "hash": 32, "table": 32}.items():
        yield derive(material(), f"pseudonymization/{purpose}/{COLUMN}", size)


@pytest.fixture(scope="session")
def detector() -> Detector:
    return Detector([material(), *derived_materials()], raw=4)


@dataclasses.dataclass(repr=False)
class Scene:
    """What the crashes and the ways of showing work with; ``key`` is the canary."""

    manager: KeyManager
    store: MemoryStore
    key: Key
    material: Callable[[], bytes] = material
    purpose: str = PURPOSE
    column: str = COLUMN

    def table(self) -> pd.DataFrame:
        return pd.DataFrame({self.column: ["123-45-6789", "987-65-4321"], "age": [41, 52]})


@pytest.fixture
def scene() -> Iterator[Scene]:
    store = MemoryStore()
    with KeyManager(store=store, environment="development") as manager:
        manager.import_key("master_key", material())
        manager.import_key("k", material())
        yield Scene(manager, store, manager.get_key("k"))


@pytest.fixture
def leaks(detector: Detector) -> Callable[[object], dict[str, set[str]]]:
    """Tell by report in which spellings an error, or what was shown, gives the key away."""

    def leaks(shown: object) -> dict[str, set[str]]:
        reports = (
            {name: report(shown) for name, report in REPORTS.items()}
            if isinstance(shown, BaseException)
            else {"shown": shown if isinstance(shown, bytes) else str(shown)}
        )
        found = {name: detector.spellings_in(text) for name, text in reports.items()}
        return {name: spellings for name, spellings in found.items() if spellings}

    return leaks


@pytest.fixture
def lines_of() -> Callable[[BaseException], list[str]]:
    """Tell what a debugger shows of an error, line by line; many of them are searched at once."""

    def lines_of(error: BaseException) -> list[str]:
        return f"{by_frames(error)}\n{by_attributes(error)}".split("\n")

    return lines_of


def with_locals(error: BaseException) -> str:
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def by_rich(error: BaseException) -> str:
    """What a traceback by rich tells of an error; drawing the source beside it takes long."""
    trace = rich.traceback.Traceback.extract(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_length=None,
        locals_max_string=None,
        locals_hide_dunder=False,
    )
    lines: list[str] = []
    for stack in trace.stacks:
        lines += [stack.exc_type, stack.exc_value, *getattr(stack, "notes", ())]
        for frame in stack.frames:
            lines += [f"{name} = {node}" for name, node in (frame.locals or {}).items()]
    return "\n".join(lines)


def by_frames(error: BaseException) -> str:
    """What a debugger shows: the variables of every frame, and the attributes of those."""
    lines: list[str] = []
    for each in _chain(error):
        for frame in _frames(each.__traceback__):
            for name, value in frame.items():
                lines += [f"{name} = {shown(value)}", attributes_of(value)]
    return "\n".join(lines)


def shown(value: object) -> str:
    """The repr of a value; an object whose ``__init__`` has failed may have none."""
    try:
        return repr(value)
    except AttributeError:
        return object.__repr__(value)


def by_logging(error: BaseException) -> str:
    stream = io.StringIO()
    logger = logging.Logger("canary")
    logger.addHandler(logging.StreamHandler(stream))
    logger.error("failed: %s %r", error, error, exc_info=error)
    return stream.getvalue()


def by_attributes(error: BaseException) -> str:
    return "\n".join(
        f"{each!r} {each} {each.args!r} {vars(each)!r} {getattr(each, '__notes__', None)!r}"
        for each in _chain(error)
    )


REPORTS = {
    "traceback with locals": with_locals,
    "rich": by_rich,
    "frames": by_frames,
    "logging": by_logging,
    "attributes": by_attributes,
}


def attributes_of(value: object) -> str:
    """Show what an object of ours holds, as a debugger does; secret fields are asked for by name.

    The fields of a record hold whatever a caller wants to read, and a repr leaves them out.
    """
    if type(value).__module__.partition(".")[0] != "secureml":
        return ""
    hidden = {each.name for each in _fields_of(value) if not each.repr}
    slots = [
        f"_{kind.__name__.lstrip('_')}{name}" if name.startswith("__") else name
        for kind in type(value).__mro__
        for name in kind.__dict__.get("__slots__", ())
    ]
    names = {*slots, *getattr(value, "__dict__", ())} - hidden
    return repr({name: getattr(value, name, None) for name in names})


def _fields_of(value: object) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def _frames(trace: TracebackType | None) -> Iterator[dict[str, object]]:
    while trace is not None:
        yield dict(trace.tb_frame.f_locals)
        trace = trace.tb_next
