"""Secrets as files, in memory if the system can do that."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from secureml.errors import SecureMLError
from secureml.secret_types import SecretBytes

try:
    import fcntl
except ImportError:
    fcntl = cast("Any", None)  # as on Windows; what needs it asks before

__all__ = ["SecretFiles"]

_FIRST_DESCRIPTOR = 100
"""Shell scripts open those below 10 as they like."""

_SHARED_MEMORY = "/dev/shm"  # noqa: S108  # a folder with a name of its own is made in it


class SecretFiles:
    """Files that only this user may read; they are gone after the block.

    On Linux they are in memory and in no folder: a file lasts until this process ends or closes
    it, whatever program it has become meanwhile, and needs nobody to remove it. Elsewhere they lie
    in a new folder, in shared memory if there is any, which the end of the block removes.

    Args:
        in_memory: whether they are; by default whether that is possible.
    """

    def __init__(self, *, in_memory: bool | None = None) -> None:
        self._in_memory = _memory_has_files() if in_memory is None else in_memory
        self._undo = ExitStack()
        self._folder: Path | None = None

    @property
    def need_removal(self) -> bool:
        """Whether the block must be left for the files to vanish."""
        return self._folder is not None

    def add(self, name: str, content: SecretBytes) -> str:
        """Make a file, and return its path.

        Args:
            name: what it is called.
            content: what it holds.

        Raises:
            SecureMLError: it can't be made.
        """
        make = self._made_in_memory if self._in_memory else self._made_in_folder
        try:
            return make(name, content)
        except OSError as error:
            problem = error.strerror or type(error).__name__
        raise SecureMLError(f"the file for {name} can't be made ({problem})")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._undo.close()

    def _made_in_memory(self, name: str, content: SecretBytes) -> str:
        with os.fdopen(os.memfd_create(name, os.MFD_ALLOW_SEALING), "wb") as stream:
            stream.write(content.reveal())
            stream.flush()
            os.fchmod(stream.fileno(), 0o400)
            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(stream, fcntl.F_ADD_SEALS, seals)
            # Unlike others, this descriptor stays open in the program that replaces this one.
            descriptor = fcntl.fcntl(stream, fcntl.F_DUPFD, _FIRST_DESCRIPTOR)
        self._undo.callback(os.close, descriptor)
        # Not /proc/self: the program's children look for it too.
        return f"/proc/{os.getpid()}/fd/{descriptor}"

    def _made_in_folder(self, name: str, content: SecretBytes) -> str:
        if self._folder is None:
            shared = os.access(_SHARED_MEMORY, os.W_OK | os.X_OK)
            place = tempfile.TemporaryDirectory(
                prefix="secureml-", dir=_SHARED_MEMORY if shared else None
            )
            self._folder = Path(self._undo.enter_context(place))
        path = self._folder / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content.reveal())
        return str(path)


def _memory_has_files() -> bool:
    # A /proc of another PID namespace knows this process by another number.
    with suppress(OSError):
        return (
            hasattr(os, "memfd_create")
            and fcntl is not None
            and Path("/proc/self").readlink() == Path(str(os.getpid()))
        )
    return False
