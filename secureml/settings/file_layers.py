"""The layers of settings files: which files are read, and which of their sections are in force."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from secureml.settings.environments import Tier, canonical, tier_of
from secureml.settings.files import FoundFiles, Sections, find_files, is_local, read_sections
from secureml.settings.layers import Layer
from secureml.settings.origins import Origin, Place, Problem
from secureml.settings.recipe import Layers
from secureml.settings.setting import collecting

__all__ = ["file_layers", "paths_to_read", "read_files"]


def paths_to_read(
    layers: Layers, environ: Mapping[str, str], wanted: str | None, problems: list[str]
) -> tuple[list[Path], list[Path], frozenset[int] | None]:
    """List the files to read, the local ones passed over, and who may own those that were found."""
    found = FoundFiles()
    if layers.files is None:
        with collecting(problems):
            found = find_files(environ)
    # Of a file that is named twice the last place counts.
    named = list(dict.fromkeys(reversed(layers.files or ())))[::-1]
    paths = [*named, *filter(None, [found.main])]
    beside = [found.local] if found.local else []
    if wanted is None or tier_of(wanted) is not Tier.STRICT:
        return [*paths, *beside], [], found.owners
    why = f"is a local file, and none is read in {canonical(wanted)}: name another one"
    problems += [
        Problem(f"{path} {why}", why, place=Place(str(path), path))
        for path in paths
        if is_local(path)
    ]
    return [path for path in paths if not is_local(path)], beside, found.owners


def read_files(
    paths: Iterable[Path], owners: frozenset[int] | None, problems: list[str]
) -> dict[Path, Sections]:
    files = {}
    for path in paths:
        with collecting(problems):
            files[path] = read_sections(path, owners)
    return files


def file_layers(
    files: Mapping[Path, Sections], environment: str | None
) -> tuple[list[Layer], list[Layer]]:
    """Return a layer for each section: those in force, weakest first, and the others."""
    names = [path.name for path in files]
    selected: list[Layer] = []
    others: list[Layer] = []
    for path, sections in files.items():
        for section in sorted(sections, key=lambda name: name != "default"):
            words = f"{path.name if names.count(path.name) == 1 else path} [{section}]"
            layer = Layer(
                Origin(Place(words, path, section)),
                sections[section],
                place=f"{path} [{section}]",
                file=path,
                section=section,
            )
            (selected if section in {"default", environment} else others).append(layer)
    return selected, others
