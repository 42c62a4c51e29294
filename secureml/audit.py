"""The audit log: one event for each access to a key or secret, never with a value.

Events go to the logger ``secureml.audit``, and as JSON lines to the file that ``audit_log`` names.
"""

from __future__ import annotations

import errno
import functools
import getpass
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol, Self, cast

from secureml.errors import SecretError
from secureml.forksafe import BusyError, ForkSafeLock
from secureml.settings import Settings

try:
    import fcntl
except ImportError:
    fcntl = cast("Any", None)  # as on Windows; what needs it asks before

__all__ = ["Access", "Audit", "Provenance"]

_log = logging.getLogger("secureml.audit")

_LONGEST_TEXT = 1024
"""Bytes that a name or a purpose may take in a line, so that one fits into PIPE_BUF."""

_LONGEST_WAIT = 2.0
"""Seconds to wait for a file that another process has locked; then it can't be written."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.02
"""Seconds between two attempts to lock it."""

_writing = ForkSafeLock()


class Provenance(Protocol):
    """Where a secret came from: a record of a source, or a key."""

    @property
    def version(self) -> int | None: ...
    @property
    def source(self) -> str: ...
    @property
    def request_id(self) -> str | None: ...


class Access:
    """Null object: no audit sink is configured. The subclass records."""

    def note(self, **facts: str | int | None) -> None:
        """Add to the event: ``name``, ``version``, ``purpose``."""

    def found(self, what: Provenance, *, cached: bool = False, stale: bool = False) -> None:
        """Add to the event where the secret comes from.

        Args:
            what: what was read or written.
            cached: whether it was in the cache.
            stale: whether it was served after its time there, because Vault is unavailable.
        """

    def attempt(self, name: str) -> None:
        """Record a change before it is made; its result is an event of its own.

        Args:
            name: what is to be changed.

        Raises:
            SecretError: the event can't be written, and ``audit_required`` is on.
        """

    def failed(self, error: SecretError) -> None:
        """Add to the event an error that the caller of the library doesn't get to see."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        pass


class Audit:
    """Records all accesses as the settings say.

    Each event has these members: ``time`` (UTC), ``host``, ``user``, ``pid``, ``role`` (with which
    the settings log in, or their user name in Vault), ``accessor`` (of the token that a login
    brought), ``environment``, ``id`` (the access's), ``operation``, ``name``, ``version``,
    ``source``, ``purpose``, ``cached``, ``stale``, ``request_id``, ``outcome`` and ``duration``
    (seconds). ``request_id`` is the last one that Vault told of, and finds the access in Vault's
    own audit log; that of a cached key is of the request that fetched it. ``outcome`` is "ok", the
    name of an error's class, or "attempt", which comes before each change.

    No file is held open: a fork needs no care, and log rotation no signal. A file that another
    process keeps locked for seconds can't be written, and neither can a symbolic link.

    Args:
        settings: ``audit_log``, ``audit_required``, the environment and who logs in.
        accessor: returns the accessor of the token in use, where it is known.
    """

    def __init__(
        self, settings: Settings, accessor: Callable[[], str | None] = lambda: None
    ) -> None:
        file = settings.audit_log
        # Absolute, so that the file stays the same one when the process changes its folder.
        self._file = None if file is None else Path(file).expanduser().absolute()
        self._required = settings.audit_required
        self._environment = settings.environment
        role = settings.vault_role or settings.vault_username
        self._role = None if role is None else _short(role)
        self._accessor = accessor
        self._losing = False

    def access(self, operation: str) -> Access:
        """Begin an access, which ends with the ``with`` block and is recorded there.

        Args:
            operation: the method that was called.

        Returns:
            The access. Leaving its block raises SecretError if the access succeeded, its event
            can't be written, and ``audit_required`` is on.
        """
        if self._file is None and not _log.isEnabledFor(logging.INFO):
            return _NOT_RECORDED
        return _RecordedAccess(self, operation)

    def record(self, access: Mapping[str, object], consequence: str) -> None:
        """Write one event.

        Args:
            access: what happened.
            consequence: what it means for the caller that the event can't be written, in words;
                empty if the access has failed anyway.

        Raises:
            SecretError: it can't be written and is required. This is no ConfigurationError: the
                settings were checked, and a disk that is full today takes events tomorrow.
        """
        event = {
            "time": datetime.now(UTC).isoformat(),
            "host": socket.gethostname(),
            "user": _user(),
            "pid": os.getpid(),
            "role": self._role,
            "accessor": self._accessor(),
            "environment": self._environment,
            **access,
        }
        problem = "" if self._file is None else _append(self._file, event)
        refused = bool(problem and self._required and consequence)
        if refused:
            event["outcome"] = SecretError.__name__
        self._tell(event, problem)
        if refused:
            raise SecretError(
                f"the event of {event['operation']} can't be written to audit_log "
                f"{str(self._file)!r}: {problem}; {consequence}"
            )

    def _tell(self, event: dict[str, object], problem: str) -> None:
        _log.info(
            "%s %r: %s",
            event["operation"],
            event["name"],
            event["outcome"],
            extra={"secureml": event},
        )
        if problem and not self._losing:
            _log.warning("events can't be written to audit_log %r: %s", str(self._file), problem)
        self._losing = bool(problem)


class _RecordedAccess(Access):
    """An access that is recorded when it ends."""

    def __init__(self, audit: Audit, operation: str) -> None:
        self._audit = audit
        self._event: dict[str, object] = {
            "id": token_hex(8),
            "operation": operation,
            "name": None,
            "version": None,
            "source": None,
            "purpose": None,
            "cached": False,
            "stale": False,
            "request_id": None,
            "outcome": "ok",
            "duration": None,
        }
        self._tried = False
        self._begin = time.perf_counter()

    def note(self, **facts: str | int | None) -> None:
        for fact, value in facts.items():
            self._event[fact] = _short(value) if isinstance(value, str) else value

    def found(self, what: Provenance, *, cached: bool = False, stale: bool = False) -> None:
        self._event |= {
            "version": what.version,
            "source": what.source,
            "request_id": what.request_id,
            "cached": cached,
            "stale": stale,
        }

    def attempt(self, name: str) -> None:
        self.note(name=name)
        self._audit.record(self._event | {"outcome": "attempt"}, "nothing was changed")
        self._tried = True

    def failed(self, error: SecretError) -> None:
        self._event["outcome"] = type(error).__name__
        self._event["request_id"] = error.request_id or self._event["request_id"]

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._event["duration"] = round(time.perf_counter() - self._begin, 6)
        if isinstance(error, SecretError):
            self.failed(error)
        elif error is not None:
            self._event["outcome"] = type(error).__name__
        consequence = "the change itself was made" if self._tried else "nothing is handed out"
        self._audit.record(self._event, consequence if error is None else "")


_NOT_RECORDED = Access()


def _user() -> str:
    """Return who runs the process, as the system says, not variables that anybody can set."""
    try:
        import pwd
    except ImportError:  # POSIX has it
        return getpass.getuser()
    return _name_of(os.geteuid(), pwd.getpwuid)


@functools.lru_cache
def _name_of(uid: int, entry: Callable[[int], Any]) -> str:
    try:
        name: str = entry(uid).pw_name
    except KeyError:
        return str(uid)
    return name


def _short(text: str) -> str:
    """Cut a text that is too long for a line; ASCII escapes take up to 12 bytes each."""
    return text if len(json.dumps(text)) <= _LONGEST_TEXT else text[: _LONGEST_TEXT // 16] + "…"


def _append(
    path: Path,
    event: dict[str, object],
    *,
    seconds: float = _LONGEST_WAIT,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> str:
    """Add an event to a file as one line, whole or not at all.

    Args:
        path: the file.
        event: what to write.
        seconds: how long to wait for others that have the file locked.
        clock: returns seconds that only ever increase.
        sleep: waits for so many seconds.

    Returns:
        What went wrong, in words; empty if nothing did.
    """
    if fcntl is None:
        return "this system has no locks that processes share (Python's fcntl is missing)"
    # Escapes are ASCII, so that no name can hold a line end.
    line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
    # Not waiting for a reader, where the path names a pipe.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW
    try:
        # A signal handler that interrupts a line adds its own without waiting for itself.
        is_nested = _writing.held
        with _writing.within(seconds):
            file = os.open(path, flags, 0o600)
            try:
                if is_nested or _lock(file, clock() + seconds, clock, sleep):
                    return _write_line(file, line)
            finally:
                # Closing alone leaves it locked if a fork has copied the descriptor.
                fcntl.flock(file, fcntl.LOCK_UN)
                os.close(file)
    except BusyError:
        pass
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "it is a symbolic link; name the file itself"
        return error.strerror or type(error).__name__
    return "another process keeps it locked"


def _write_line(file: int, line: bytes) -> str:
    # Appending is atomic by itself; taking back the part of a line that still fitted on a full
    # disk is not.
    written = os.write(file, line)
    if written == len(line):
        return ""
    os.ftruncate(file, os.fstat(file).st_size - written)
    return "there is no room for a whole line"


def _lock(
    file: int, end: float, clock: Callable[[], float], sleep: Callable[[float], object]
) -> bool:
    """Lock a file; return whether that was possible in time."""
    pause = _FIRST_PAUSE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock() >= end:
                return False
        else:
            return True
        sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
