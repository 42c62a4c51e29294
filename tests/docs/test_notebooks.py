"""What docs/notebooks.md says, in a real kernel: its Python is one notebook, run cell by cell."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from helpers.notebooks import execute
from secureml import KeyManager

if TYPE_CHECKING:
    import subprocess

    from conftest import Block, Reader


def shown(output: dict[str, Any]) -> str:
    """What a notebook shows of an output."""
    if output["output_type"] == "error":
        return "\n".join(output["traceback"])
    if output["output_type"] == "stream":
        return "".join(output["text"])
    data = output["data"]
    return "".join(data.get("text/html", data["text/plain"]))


def test_the_cells_show_what_the_page_says_and_neither_key_nor_token(
    reader: Reader,
    blocks: Callable[[str], list[Block]],
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    page = blocks("docs/notebooks.md")
    sources = [block.text.rstrip("\n") for block in page if block.kind == "python"]
    made = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = reader.folder / "customers.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=made), notebook)
    address = {"vault_url": reader.vault.url, "vault_namespace": reader.vault.namespace}
    namespace = reader.vault.namespace or ""
    reader.environment |= {"SECUREML_VAULT_NAMESPACE": namespace, "VAULT_NAMESPACE": namespace}
    outputs = None
    for block in page:
        if block.kind != "python":
            reader.read(block)
            continue
        if outputs is None:
            execute(run_python, notebook, notebook, allow_errors=True, env=reader.environment)
            cells = json.loads(notebook.read_text())["cells"]
            kinds = [output["output_type"] for cell in cells for output in cell["outputs"]]
            assert kinds.count("error") == 1, "the page shows one"
            outputs = iter(["".join(map(shown, cell["outputs"])) for cell in cells])
        reader.printed = next(outputs)
    with KeyManager(vault_token=reader.vault.token, environment="staging", **address) as manager:
        octets = manager.get_key().reveal()
    text = notebook.read_text()
    secrets = (octets.hex(), base64.b64encode(octets).decode(), repr(octets), reader.vault.token)
    assert [one for one in secrets if one in text] == []
