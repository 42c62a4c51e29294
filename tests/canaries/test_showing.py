"""Ways to print, log, copy, serialize and compute with a key handle; none shows the key.

A way may also be refused: then the error is searched. A core dump or a debugger that reads the
process's memory does show keys; nothing in Python can keep them from that.
"""

from __future__ import annotations

import array
import ast
import asyncio
import base64
import binascii
import collections
import configparser
import contextlib
import contextvars
import copy
import csv
import dataclasses
import difflib
import functools
import gc
import hashlib
import html
import inspect
import io
import json
import logging
import logging.handlers
import marshal
import multiprocessing.reduction
import operator
import os
import pdb
import pickle
import plistlib
import pprint
import queue
import reprlib
import shelve
import socket
import sqlite3
import string
import struct
import sys
import tempfile
import textwrap
import threading
import traceback
import types
import unittest
import unittest.mock
import urllib.parse
import warnings
import weakref
import xmlrpc.client
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import rich.console
import rich.pretty
import yaml
from rich import inspect as rich_inspect


def written(write) -> str:
    """What a function writes to the stream that it is given."""
    stream = io.StringIO()
    write(stream)
    return stream.getvalue()


def printed(call) -> str:
    """What a function writes to standard output and standard error."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        call()
    return out.getvalue()


def shelved(folder: Path, key) -> None:
    with shelve.open(str(folder / "s"), "n") as shelf:
        shelf["k"] = key


def saved(save) -> bytes:
    """What a function leaves in files of the folder that it is given."""
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        return b"".join(file.read_bytes() for file in Path(folder).rglob("*") if file.is_file())


def logged(log, formatter: logging.Formatter | None = None) -> str:
    def write(stream) -> None:
        logger = logging.Logger("canary")
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        logger.addHandler(handler)
        log(logger)

    return written(write)


class JsonFormatter(logging.Formatter):
    """Every attribute of a record as JSON, as formatters for log collectors do it."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(vars(record) | {"message": record.getMessage()}, default=repr)


def queued(key) -> str:
    handler = logging.handlers.QueueHandler(queue.SimpleQueue())
    handler.handle(logging.makeLogRecord({"msg": "key %r", "args": (key,), "key": key}))
    return repr(vars(handler.queue.get()))


def warned(key) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn(f"{key}", UserWarning, stacklevel=1)
        warnings.warn_explicit(UserWarning(key, key.material), None, "file", 1)
    return "".join(f"{each} {warnings.formatwarning(**_of(each))}" for each in caught)


def _of(warning) -> dict[str, object]:
    return {name: getattr(warning, name) for name in ("message", "category", "filename", "lineno")}


def noted(key) -> str:
    error = ValueError("refused", key)
    error.add_note(f"with {key!r}")
    group = ExceptionGroup("several", [error, KeyError(key.material)])
    return "".join(traceback.format_exception(group)) + repr(group) + str(group.exceptions)


def chained(key) -> str:
    try:
        try:
            raise KeyError(key)
        except KeyError as error:
            raise RuntimeError(key.material) from error
    except RuntimeError as error:
        return "".join(traceback.TracebackException.from_exception(error).format())


def stack_with_locals(key) -> str:
    material, handles = key.material, [key, {"key": key}]
    stack = traceback.StackSummary.extract(traceback.walk_stack(None), capture_locals=True)
    return "".join(stack.format()) + repr((material, handles))


def unhandled_in_a_thread(key) -> str:
    def work(given) -> None:
        raise ValueError(given)

    def report(arguments) -> None:
        seen.append(repr(arguments) + "".join(traceback.format_exception(arguments.exc_value)))

    seen: list[str] = []
    before, threading.excepthook = threading.excepthook, report
    try:
        thread = threading.Thread(target=work, args=(key,))
        thread.start()
        thread.join()
    finally:
        threading.excepthook = before
    return seen[0]


def unhandled_in_a_task(key) -> str:
    async def work() -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "failed", "key": key})

    return printed(lambda: asyncio.run(work())) or logged_by_asyncio(work)


def logged_by_asyncio(work) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("asyncio").addHandler(handler)
    try:
        asyncio.run(work())
    finally:
        logging.getLogger("asyncio").removeHandler(handler)
    return stream.getvalue()


def mocked(key) -> str:
    mock = unittest.mock.Mock()
    mock(key, material=key.material)
    try:
        mock.assert_called_with(None)
    except AssertionError as error:
        return repr(mock.mock_calls) + str(error)
    raise AssertionError


def compared_by_unittest(key) -> str:
    case = unittest.TestCase()
    case.maxDiff = None
    try:
        case.assertListEqual([key], [key.material])  # noqa: PT009  # its message is what is tested
    except AssertionError as error:
        return str(error)
    raise AssertionError


def in_a_debugger(key) -> str:
    def write(stream) -> None:
        debugger = pdb.Pdb(stdin=io.StringIO("p key\npp vars\nargs\nq\n"), stdout=stream)
        debugger.curframe = inspect.currentframe().f_back
        debugger.curframe_locals = {"key": key, "material": key.material}
        for line in ("p key", "pp key", "pp material", "p dir(material)"):
            debugger.onecmd(line)

    return written(write)


def in_process_pool(key) -> str:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(repr, key).result(timeout=60)


def sent(secret) -> int:
    here, there = socket.socketpair()
    with here, there:
        return here.send(secret)


def frame_with(key) -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1, 2]})
    frame.attrs["key"] = key
    return frame


def attributes(value) -> str:
    return repr({name: getattr(value, name, None) for name in dir(value)})


def state(value) -> str:
    return repr([value.__getstate__()]) + repr(copy.copy(value).__getstate__())


def referents(value) -> str:
    """What the garbage collector sees at first and second hand; functions show no closures."""
    first = gc.get_referents(value)
    return repr(first)


HANDLE = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "format": format,
    "format with a width": lambda key: format(key, ">80"),
    "format with a type": lambda key: format(key, "x"),
    "f-string": lambda key: f"{key}",
    "f-string !r": lambda key: f"{key!r}",
    "f-string !s": lambda key: f"{key!s}",
    "f-string !a": lambda key: f"{key!a}",
    "f-string =": lambda key: f"{key=}",
    "f-string with a width": lambda key: f"{key!r:>80}",
    "f-string with a precision": lambda key: f"{key:.50}",
    "percent s": lambda key: "%s" % (key,),  # noqa: UP031  # one more way to print
    "percent r": lambda key: "%r" % (key,),  # noqa: UP031  # likewise
    "percent a": lambda key: "%a" % (key,),  # noqa: UP031  # likewise
    "percent of a mapping": lambda key: "%(key)s" % {"key": key},  # noqa: UP031  # likewise
    "format with an attribute": "{0} {0!r}".format,
    "format_map": lambda key: "{key}".format_map({"key": key}),
    "string.Template": lambda key: string.Template("$key").substitute(key=key),
    "string.Formatter": lambda key: string.Formatter().format("{0!r}", key),
    "print": lambda key: written(lambda stream: print(key, [key], file=stream)),
    "the prompt's display": lambda key: printed(lambda: sys.displayhook(key)),
    "list": lambda key: repr([key, (key,), {"key": key}]),
    "namespace": lambda key: repr(types.SimpleNamespace(key=key)),
    "named tuple": lambda key: repr(collections.namedtuple("Pair", "key other")(key, 1)),
    "deque": lambda key: repr(collections.deque([key])),
    "chain map": lambda key: repr(collections.ChainMap({"key": key})),
    "partial": lambda key: repr(functools.partial(print, key)),
    "context variable": lambda key: repr(contextvars.ContextVar("key", default=key)),
    "weak reference": lambda key: repr(weakref.ref(key)),
    "pprint": pprint.pformat,
    "pprint nested": lambda key: pprint.pformat({"keys": [key] * 9}, width=20),
    "reprlib": lambda key: reprlib.repr([key]),
    "difflib": lambda key: "".join(difflib.ndiff([f"{key}\n"], [f"{key.material}\n"])),
    "textwrap": lambda key: textwrap.shorten(str(key), 60),
    "html": lambda key: html.escape(str(key)),
    "url": lambda key: urllib.parse.urlencode({"key": key}),
    "json default str": lambda key: json.dumps(key, default=str),
    "json default repr": lambda key: json.dumps({"key": key}, default=repr),
    "json default vars": lambda key: json.dumps(key, default=vars),
    "json of asdict": lambda key: json.dumps(dataclasses.asdict(key), default=str),
    "yaml": yaml.dump,
    "yaml safe": yaml.safe_dump,
    "csv": lambda key: written(lambda stream: csv.writer(stream).writerow([key, key.material])),
    "xml-rpc": lambda key: xmlrpc.client.dumps((key,), allow_none=True),
    "plist": lambda key: plistlib.dumps({"key": key}),
    "ini": lambda key: configparser.ConfigParser().read_dict({"a": {"key": key}}),
    "sqlite": lambda key: sqlite3.connect(":memory:").execute("select ?", (key,)).fetchall(),
    "ast": lambda key: ast.dump(ast.Constant(key)),
    "logging s": lambda key: logged(lambda logger: logger.error("key %s", key)),
    "logging r": lambda key: logged(lambda logger: logger.error("key %r", key)),
    "logging a mapping": lambda key: logged(lambda logger: logger.error("%(key)r", {"key": key})),
    "logging an object": lambda key: logged(lambda logger: logger.error(key)),
    "logging extra": lambda key: logged(
        lambda logger: logger.error("x", extra={"key": key}), logging.Formatter("%(key)s %(key)r")
    ),
    "logging json": lambda key: logged(
        lambda logger: logger.error("%s", key, extra={"key": key}), JsonFormatter()
    ),
    "logging a wrong format": lambda key: printed(
        lambda: logged(lambda logger: logger.error("%d", key))
    ),
    "logging to a queue": queued,
    "logging to a socket": lambda key: logging.handlers.SocketHandler("", 0).makePickle(
        logging.makeLogRecord({"msg": "%r", "args": (key,)})
    ),
    "logging to a socket, extra": lambda key: logging.handlers.SocketHandler("", 0).makePickle(
        logging.makeLogRecord({"msg": "x", "key": key})
    ),
    "warning": warned,
    "notes and groups": noted,
    "cause and context": chained,
    "stack with locals": stack_with_locals,
    "thread's excepthook": unhandled_in_a_thread,
    "task's exception handler": unhandled_in_a_task,
    "mock": mocked,
    "unittest": compared_by_unittest,
    "debugger": in_a_debugger,
    "asdict": lambda key: repr(dataclasses.asdict(key)),
    "astuple": lambda key: repr(dataclasses.astuple(key)),
    "dataclass fields": lambda key: repr(
        [getattr(key, field.name) for field in dataclasses.fields(key)]
    ),
    "replace": lambda key: repr(dataclasses.replace(key, request_id="x")),
    "vars": vars,
    "__dict__": lambda key: repr(key.__dict__),
    "attributes": attributes,
    "attributes of the material": lambda key: attributes(key.material),
    "members": lambda key: repr(inspect.getmembers(key)),
    "members of the material": lambda key: repr(inspect.getmembers(key.material)),
    "static members": lambda key: repr(inspect.getmembers_static(key.material)),
    "state": state,
    "state of the material": lambda key: repr(key.material.__getstate__()),
    "referents": referents,
    "referents of the material": lambda key: referents(key.material),
    "match by position": lambda key: repr(key.__match_args__),
    "copy": lambda key: repr(copy.copy(key)),
    "deep copy": lambda key: repr(copy.deepcopy([key, {"key": key}])),
    "marshal": marshal.dumps,
    "shelve": lambda key: saved(lambda folder: shelved(folder, key)),
    "forking pickler": multiprocessing.reduction.ForkingPickler.dumps,
    "process pool": in_process_pool,
    "thread pool": lambda key: repr(ThreadPoolExecutor(1).submit(lambda: key).result()),
    "hash": hash,
    "set": lambda key: {key},
    "rich": lambda key: written(lambda stream: rich.console.Console(file=stream).print(key)),
    "rich pretty": lambda key: rich.pretty.pretty_repr({"key": [key]}, expand_all=True),
    "rich inspect": lambda key: written(
        lambda stream: rich_inspect(
            key, console=rich.console.Console(file=stream, width=500), all=True, value=True
        )
    ),
    "rich inspect of the material": lambda key: written(
        lambda stream: rich_inspect(
            key.material, console=rich.console.Console(file=stream, width=500), all=True
        )
    ),
    "numpy": lambda key: repr(np.array([key], dtype=object)),
    "series": lambda key: pd.Series([key, key]).to_string(),
    "series of material": lambda key: repr(pd.Series([key.material])),
    "series to csv": lambda key: pd.Series([key]).to_csv(),
    "series to json": lambda key: pd.Series([key]).to_json(default_handler=str),
    "series to json without a handler": lambda key: pd.Series([key]).to_json(),
    "series to html": lambda key: pd.DataFrame({"key": [key]}).to_html(),
    "series to records": lambda key: repr(pd.DataFrame({"key": [key]}).to_dict("records")),
    "series to parquet": lambda key: pd.DataFrame({"key": [key]}).to_parquet(),
    "arrow": lambda key: pa.array([key]),
    "arrow material": lambda key: pa.array([key.material], pa.binary()),
    "attrs": lambda key: repr(frame_with(key).attrs),
    "attrs of a copy": lambda key: repr(copy.deepcopy(frame_with(key)).attrs),
    "attrs to parquet": lambda key: frame_with(key).to_parquet(),
    "attrs to pickle": lambda key: saved(
        lambda folder: frame_with(key).to_pickle(folder / "frame.pkl")
    ),
    "attrs to json": lambda key: frame_with(key).to_json(orient="table"),
}

MATERIAL = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "str with a codec": lambda secret: str(secret, "latin-1"),
    "iteration": list,
    "tuple": tuple,
    "unpacking": lambda secret: [*secret],
    "index": lambda secret: secret[0],
    "slice": lambda secret: secret[:],
    "containment": lambda secret: 0 in secret,
    "reversed": lambda secret: list(reversed(secret)),
    "int": int,
    "int.from_bytes": lambda secret: int.from_bytes(secret, "big"),
    "float": float,
    "index protocol": operator.index,
    "concatenation": lambda secret: b"" + secret,
    "join": lambda secret: b"".join([secret]),
    "percent b": lambda secret: b"%b" % secret,
    "hash": hash,
    "ordering": lambda secret: secret < secret,
    "sorting": lambda secret: sorted([secret, secret]),
    "base64": base64.b64encode,
    "hexlify": binascii.hexlify,
    "crc": binascii.crc32,
    "sha256": hashlib.sha256,
    "struct": lambda secret: struct.pack("32s", secret),
    "array": lambda secret: array.array("B", secret),
    "bytes stream": io.BytesIO,
    "text stream": io.StringIO,
    "os.write": lambda secret: os.write(2, secret),
    "socket": sent,
    "frombuffer": lambda secret: np.frombuffer(secret, "u1"),
    "pickle": pickle.dumps,
    "json": json.dumps,
    "state": lambda secret: secret.__reduce__(),
    "extended state": lambda secret: secret.__reduce_ex__(4),
}
"""What takes octets where it finds them; concealed ones it must not take."""


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", HANDLE.values(), ids=HANDLE.keys())
def test_no_way_to_show_a_handle_shows_the_key(scene, leaks, way):
    shown, refusal = "", None
    try:
        shown = way(scene.key)
    except Exception as error:  # some ways are refused, each with an error of its own
        refusal = error
    assert not leaks(shown if isinstance(shown, bytes) else repr(shown))
    assert refusal is None or not leaks(refusal)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("take", MATERIAL.values(), ids=MATERIAL.keys())
def test_concealed_octets_are_no_octets(scene, leaks, take):
    with pytest.raises((TypeError, AttributeError, struct.error)) as caught:
        take(scene.key.material)
    assert not leaks(caught.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("what", ["the handle", "its material", "a list", "the manager"])
def test_nothing_that_holds_a_key_can_be_pickled(scene, leaks, what, protocol):
    value = {
        "the handle": scene.key,
        "its material": scene.key.material,
        "a list": [1, {"key": scene.key}],
        "the manager": scene.manager,
    }[what]
    stream = io.BytesIO()
    with pytest.raises(TypeError, match="pickled") as caught:
        pickle.dump(value, stream, protocol)
    assert not leaks(stream.getvalue())
    assert not leaks(caught.value)


def test_a_handle_is_frozen(scene):
    with pytest.raises(dataclasses.FrozenInstanceError):
        scene.key.material = None
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        scene.key.note = "x"


def test_a_copy_is_the_same_key_and_no_second_one_in_memory(scene):
    assert copy.deepcopy(scene.key).material is scene.key.material
    assert copy.copy(scene.key) == scene.key


def test_only_reveal_gives_the_material(scene):
    assert scene.key.reveal() == scene.material()
    assert scene.key.material.reveal() == scene.material()


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        vars,
        lambda manager: manager.settings,
        lambda manager: dataclasses.asdict(manager.settings),
        lambda manager: [
            vars(each) for each in vars(manager).values() if hasattr(each, "__dict__")
        ],
        lambda manager: rich.pretty.pretty_repr(vars(manager)),
        lambda manager: written(
            lambda stream: rich_inspect(
                manager, console=rich.console.Console(file=stream, width=900), private=True
            )
        ),
    ],
)
def test_a_manager_that_holds_keys_does_not_show_them(scene, leaks, show):
    scene.manager.get_key("k", 1)
    assert not leaks(repr(show(scene.manager)))
