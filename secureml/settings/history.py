"""What each layer says of each setting, and what differs between environments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from secureml.settings.lines import Keys
from secureml.settings.merge import ReadLayers
from secureml.settings.origins import Origin
from secureml.settings.schema import SETTINGS, Settings
from secureml.settings.setting import Setting

__all__ = ["Said", "differences", "history"]


class Said(NamedTuple):
    """What one layer says of a setting.

    Attributes:
        value: the value.
        origin: the layer, or the layers that a table comes from.
        in_force: whether it is the value that counts, or a part of it.
    """

    value: object
    origin: Origin
    in_force: bool = True


def history(
    read: ReadLayers, settings: Settings, vault_record: Mapping[str, object] | None = None
) -> dict[str, list[Said]]:
    """Return what each layer says of each setting, the weakest first.

    Args:
        read: the layers.
        settings: the settings that they make up.
        vault_record: what the record ``settings`` in Vault holds, if it is among them.
    """
    said: dict[str, list[Said]] = {
        setting.name: [_said(settings, setting.name, setting.default, "default")]
        for setting in SETTINGS
    }
    for layer in read.loaders_with(vault_record):
        for name, value in layer.values.items():
            found = _said(settings, name, value, layer.origin_of(name))
            said[name] = [each for each in said[name] if each.origin != found.origin]
            said[name].append(found)
    return said


def differences(one: Settings, other: Settings) -> Iterator[tuple[Setting, Keys, Said, Said]]:
    """Find what differs between the settings of two environments.

    Args:
        one: those of one.
        other: those of the other.

    Yields:
        The setting, the keys inside of it if it is a table, and what holds in each of the two; a
        key that one of them lacks is None there and comes from nowhere.
    """
    for setting in SETTINGS:
        first, second = (_values(settings, setting) for settings in (one, other))
        for keys in dict.fromkeys((*first, *second)):
            if first.get(keys) != second.get(keys):
                here, there = (
                    Said(values.get(keys), _origin(settings, setting.name, keys, keys in values))
                    for settings, values in ((one, first), (other, second))
                )
                yield setting, keys, here, there


def _said(settings: Settings, name: str, value: object, origin: str) -> Said:
    places = Origin.of(settings.origins[name]).places
    made = Origin.of(origin)
    return Said(value, made, in_force=not {*made.places}.isdisjoint(places))


def _values(settings: Settings, setting: Setting) -> dict[Keys, object]:
    """Return a setting's value, or the values inside of a table by the keys that lead to them."""
    value = getattr(settings, setting.name)
    return {(): value} if setting.read is None else dict(_leaves(value.document()))


def _leaves(table: Mapping[str, object], outer: Keys = ()) -> Iterator[tuple[Keys, object]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*outer, key))
        else:
            yield (*outer, key), value


def _origin(settings: Settings, name: str, keys: Keys, is_there: bool) -> Origin:
    """Return where a value inside of a setting comes from, as exactly as files tell."""
    origin = Origin.of(settings.origins[name]) if is_there else Origin()
    exact = [place for place in origin.places if keys and place.line(name, *keys)]
    return Origin(exact[-1]) if exact else origin
