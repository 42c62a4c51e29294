"""Run ``secureml``, and press Ctrl-C at an event of the interpreter, such as ``open``.

Its arguments are the event, how its first argument ends, and those of the command.
"""

from __future__ import annotations

import os
import signal
import sys

from secureml.cli import main

event, end = sys.argv[1:3]
pressed: list[str] = []


def press(name: str, arguments: tuple[object, ...]) -> None:
    if name == event and not pressed and str(arguments[0]).endswith(end):
        pressed.append(name)
        os.kill(os.getpid(), signal.SIGINT)


signal.signal(signal.SIGINT, signal.default_int_handler)
sys.addaudithook(press)
try:
    main(sys.argv[3:], prog_name="secureml")
finally:
    assert pressed, f"there was no {event} of {end}"
