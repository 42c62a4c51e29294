"""Draw `secureml demo` as it looks in a terminal, `docs/img/demo.svg`: `make docs-demo`.

The lines are those of a real run, with a server of its own, so that keys and pseudonyms are other
ones each time. The picture names no font to fetch.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def picture(lines: list[str]) -> str:
    """Return lines as an image of a terminal that is as wide as the longest."""
    console = Console(file=io.StringIO(), record=True, width=max(map(len, lines)), highlight=False)
    console.print(Text.assemble(("$ ", "bold green"), ("secureml demo", "bold")))
    console.print(Text("\n".join(lines)))
    drawn = console.export_svg(title="secureml", unique_id="demo")
    drawn = FONT_FACE.sub("", drawn).replace("Fira Code, monospace", FONTS)
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"


if __name__ == "__main__":
    demo = [sys.executable, "-m", "secureml", "demo"]
    printed = subprocess.run(demo, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    (ROOT / "docs/img/demo.svg").write_text(picture(printed.splitlines()), encoding="utf-8")
