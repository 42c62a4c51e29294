"""Kill a job over many files at random points, over and over, and go on with it.

Run in a process of its own, with an empty folder and how many kills as its arguments, and a
variable that holds the key. Each run of the job is a fork of this process, which has loaded
everything, so that the kills fall into its work.
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

from secureml.files import anonymize_files, reidentify_files
from secureml.files.storage import digest_of
from secureml.key_management import KeyManager

FILES, ROWS = 6, 30_000


def main(folder: Path, kills: int) -> None:
    chance = random.Random(20_261)
    lake, whole, out, back = (folder / name for name in ("lake", "whole", "out", "back"))
    clear = [f"{number:09}" for number in chance.sample(range(10**9), FILES * ROWS)]
    for number in range(FILES):
        path = lake / f"ssn={clear[number]}" / f"part-{number}.csv"
        path.parent.mkdir(parents=True)
        rows = clear[number * ROWS : (number + 1) * ROWS]
        path.write_text("id,card\n" + "".join(f"{n},{ssn}\n" for n, ssn in enumerate(rows)))
    began = time.monotonic()
    run(lake, whole)
    seconds = time.monotonic() - began
    expected = tables(whole)
    assert len(expected) == FILES

    killed, ended, most = 0, 0, 0
    while killed < kills:
        process = start(partial(run, lake, out))
        status = wait(process, chance.uniform(0, seconds / 2))
        found = tables(out)
        # Each file that has its name is whole, and what else is there tells no value.
        assert found.items() <= expected.items()
        for path in out.rglob("*"):
            assert not any(ssn in path.name for ssn in clear[:FILES])
            if path.is_file():
                content = path.read_bytes()
                assert not any(ssn.encode() in content for ssn in clear[::ROWS])
        if status == 0:
            ended += 1
            assert found == expected
            shutil.rmtree(out)
        else:
            assert os.WIFSIGNALED(status), "the job failed"
            assert os.WTERMSIG(status) == signal.SIGKILL
            killed += 1
            most = max(most, len(found))
    run(lake, out)
    assert tables(out) == expected
    reidentify_files(out, back)
    assert tables(back) == tables(lake)
    print(killed, ended, most)


def run(lake: Path, out: Path) -> None:
    with KeyManager() as manager:
        anonymize_files(lake, out, ["ssn", "card"], resume=True, workers=1, key_manager=manager)


def tables(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): digest_of(path).sha256
        for path in folder.rglob("*.csv")
        if not path.name.startswith(".")
    }


main(Path(sys.argv[1]), int(sys.argv[2]))
