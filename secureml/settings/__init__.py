"""Settings: one declared table, merged from layers, checked as a whole and then frozen."""

from __future__ import annotations

from secureml.settings.checks import check_path, check_transit_key
from secureml.settings.environments import ENVIRONMENTS, Tier, tier_of
from secureml.settings.files import FoundFiles, find_files, local_of
from secureml.settings.layers import over
from secureml.settings.merge import ReadLayers, load_settings, read_layers
from secureml.settings.origins import Origin
from secureml.settings.recipe import Layers
from secureml.settings.reference import json_schema, reference
from secureml.settings.schema import RESERVED_SECRET_NAMES, SETTINGS, Settings, clashes, is_reserved
from secureml.settings.setting import Setting, absolute, variable_of

__all__ = [
    "ENVIRONMENTS",
    "RESERVED_SECRET_NAMES",
    "SETTINGS",
    "FoundFiles",
    "Layers",
    "Origin",
    "ReadLayers",
    "Setting",
    "Settings",
    "Tier",
    "absolute",
    "check_path",
    "check_transit_key",
    "clashes",
    "find_files",
    "is_reserved",
    "json_schema",
    "load_settings",
    "local_of",
    "over",
    "read_layers",
    "reference",
    "tier_of",
    "variable_of",
]
