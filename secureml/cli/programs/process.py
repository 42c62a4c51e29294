"""Runs a program in this process's place, or beside it until it ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from secureml.cli.programs.masking import Masker
from secureml.secret_types import SecretValue, reveal

__all__ = ["CAN_REPLACE", "NotStartedError", "replace", "supervise"]

CAN_REPLACE = os.name == "posix"
"""Whether a program can take this one's place: on Windows it would be another process."""

_FORWARDED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2")
_FROM_KEYBOARD = ("SIGINT", "SIGQUIT")
_IGNORED_BY_PYTHON = ("SIGPIPE", "SIGXFSZ")
_CHUNK = 65_536

_NOT_FOUND, _NOT_RUN = 127, 126
"""Exit codes as those of `env` and of shells."""


class NotStartedError(Exception):
    """The program can't be started.

    Attributes:
        exit_code: 127 if there is none of this name, else 126.
    """

    def __init__(self, program: str, cause: OSError) -> None:
        super().__init__(f"{program} can't be run ({cause.strerror or type(cause).__name__})")
        self.exit_code = _NOT_FOUND if isinstance(cause, FileNotFoundError) else _NOT_RUN


def replace(command: Sequence[str], variables: SecretValue) -> None:
    """Become another program; this returns in no case.

    Args:
        command: the program, looked for in PATH, and its arguments.
        variables: a dict of its environment.

    Raises:
        NotStartedError: it can't be run.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    for name in _IGNORED_BY_PYTHON:
        # What is ignored would stay so in the program.
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvpe(command[0], list(command), reveal(variables))  # noqa: S606  # the user's choice
    except OSError as error:
        failure = NotStartedError(command[0], error)
    raise failure


def supervise(
    command: Sequence[str], variables: SecretValue, masker: Callable[[], Masker] | None
) -> int:
    """Run a program until it ends; signals are passed on to it.

    Args:
        command: the program, looked for in PATH, and its arguments.
        variables: a dict of its environment.
        masker: makes what its output goes through, for each stream; None if it is not touched.

    Returns:
        Its exit code; 128 and the number of the signal if one ended it.

    Raises:
        NotStartedError: it can't be run.
        OSError: its output can't be written.
    """
    pipe = None if masker is None else subprocess.PIPE
    problems: list[OSError] = []
    pumps: list[threading.Thread] = []
    code: int | NotStartedError
    with _woken_by_its_end() as wait, _forwarding() as attach:
        try:
            process = subprocess.Popen(  # noqa: S603  # the user's choice
                command, env=reveal(variables), stdout=pipe, stderr=pipe
            )
        except OSError as error:
            code = NotStartedError(command[0], error)
        else:
            attach(process)
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                if source is not None and masker is not None:
                    work = (source.fileno(), target.fileno(), masker(), problems)
                    pumps.append(threading.Thread(target=_pump, args=work, daemon=True))
            for pump in pumps:
                pump.start()
            code = wait(process)
    if isinstance(code, NotStartedError):
        raise code
    # Processes that the program left may still write. From here on a signal ends this one.
    for pump in pumps:
        pump.join()
    if problems:
        raise problems[0]
    return 128 - code if code < 0 else code


@contextmanager
def _woken_by_its_end() -> Iterator[Callable[[subprocess.Popen[bytes]], int]]:
    """Wait for a program without waitpid, which delays a signal that comes just before it.

    Yields:
        What returns the exit code of a program that is started in the block, once it has ended.
    """
    if not hasattr(signal, "SIGCHLD"):
        yield subprocess.Popen.wait
        return

    def wait(process: subprocess.Popen[bytes]) -> int:
        while process.poll() is None:
            os.read(reading, 1)  # a byte for each signal
        return process.returncode

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.signal(signal.SIGCHLD, lambda *_: None)
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield wait
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGCHLD, before)
        os.close(reading)
        os.close(writing)


@contextmanager
def _forwarding() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Pass signals on to a program inside the block; what is ignored stays so.

    Yields:
        What takes the program; a signal that came before it is passed on then.
    """
    started: list[subprocess.Popen[bytes]] = []
    waiting: list[int] = []

    def forward(number: int, _: FrameType | None = None) -> None:
        if signal.Signals(number).name in _FROM_KEYBOARD and _is_in_foreground():
            return  # the terminal has sent it to the program too
        if started:
            started[0].send_signal(number)
        else:
            waiting.append(number)

    def attach(process: subprocess.Popen[bytes]) -> None:
        started.append(process)
        for number in waiting:
            forward(number)

    numbers = [getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, forward)
    try:
        yield attach
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_in_foreground() -> bool:
    """Tell whether what is typed at a terminal concerns this process and the program alike."""
    if not hasattr(os, "tcgetpgrp"):
        return True
    with suppress(OSError):
        terminal = os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    return False


def _pump(source: int, target: int, masker: Masker, problems: list[OSError]) -> None:
    """Copy bytes until the source ends, or nobody reads the target any more."""
    try:
        while data := os.read(source, _CHUNK):
            _write(target, masker.feed(data))
        _write(target, masker.feed(b"", final=True))
    except BrokenPipeError:
        pass
    except OSError as error:
        problems.append(error)
    # The program is told by its next write, as it would be without this one between.
    os.close(source)


def _write(target: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(target, left) :]
        except BlockingIOError:  # another process has made the terminal so
            select.select([], [target], [])
