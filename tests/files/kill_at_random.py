"""Kill ``secureml rekey`` of a large file at random points, over and over.

Run in a process of its own, with an empty folder, how many rows and how many kills as its
arguments, and variables that lead to a server. Each run of the command is a fork of this process,
which has loaded everything, so that the kills fall into its work.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path

from killing import start, wait

from secureml.cli import main as secureml
from secureml.files import anonymize_file, key_usage, manifest_of, reidentify_file, rekey_file
from secureml.files.storage import digest_of
from secureml.key_management import KeyManager


def main(folder: Path, rows: int, kills: int) -> None:
    chance = random.Random(20_260)
    plain, path, again = (folder / name for name in ("plain.csv", "hidden.csv", "again.csv"))
    numbers = chance.sample(range(10**9), rows)
    plain.write_text("id,ssn\n" + "".join(f"{n},{ssn:09}\n" for n, ssn in enumerate(numbers)))
    expected = digest_of(plain)
    files = [path, folder / "hidden.csv.manifest.json"]
    pristine = folder / "pristine"
    pristine.mkdir()
    with KeyManager() as manager:
        manager.generate_key("master_key")
        anonymize_file(plain, path, ["ssn"], key_manager=manager)
        manager.rotate_key("master_key")
        for file in files:
            shutil.copy(file, pristine)
        # Each state that the file may be seen in is recovered once, in full.
        states = {}
        for version in (1, 2):
            reidentify_file(path, again, force=True, key_manager=manager)
            assert digest_of(again) == expected
            states[digest_of(path).sha256] = version
            rekey_file(path, key_manager=manager)
    assert len(states) == 2

    def begin_anew() -> None:
        for file in files:
            shutil.copy(pristine / file.name, file)

    begin_anew()
    began = time.monotonic()
    assert os.waitpid(start(partial(rekey, path)), 0)[1] == 0
    whole = time.monotonic() - began
    begin_anew()

    killed, ended, after = 0, 0, []
    while killed < kills:
        process = start(partial(rekey, path))
        moment = chance.uniform(0, whole)
        status = wait(process, moment)
        # The manifest that is found is of the file as it is, and so one of the two that recover
        # every row.
        version = states[digest_of(path).sha256]
        assert manifest_of(path)["key"]["version"] == version
        if status == 0:
            # It came to the right end, from wherever it was killed before.
            assert version == 2
            assert not (folder / "hidden.csv.rekey").exists()
            ended += 1
            begin_anew()
        else:
            assert os.WIFSIGNALED(status), "the command failed"
            assert os.WTERMSIG(status) == signal.SIGKILL
            killed += 1
            after.append(moment)
    assert os.waitpid(start(partial(rekey, path)), 0)[1] == 0
    assert key_usage(path).versions == {2: rows}
    with KeyManager() as manager:
        reidentify_file(path, again, force=True, key_manager=manager)
    assert digest_of(again) == expected
    print(killed, ended, f"{min(after):.2f}", f"{max(after):.2f}", f"{whole:.2f}")


def rekey(path: Path) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    secureml(["rekey", str(path)], standalone_mode=False)


main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
