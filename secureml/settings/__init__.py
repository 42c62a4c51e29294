"""Settings: one declared table, merged from layers, checked as a whole and then frozen."""

from __future__ import annotations

from secureml.settings.checks import check_path, check_transit_key
from secureml.settings.environments import ENVIRONMENTS, Tier, tier_of
from secureml.settings.files import FoundFiles, find_files, local_of
from secureml.settings.history import Said, differences, history
from secureml.settings.layers import over
from secureml.settings.merge import ReadLayers, load_settings, read_layers
from secureml.settings.origins import Origin, Place, Problem
from secureml.settings.recipe import Layers
from secureml.settings.reference import default_of, json_schema, reference, type_of
from secureml.settings.schema import RESERVED_SECRET_NAMES, SETTINGS, Settings, clashes, is_reserved
from secureml.settings.setting import Setting, absolute, variable_of
from secureml.settings.validation import Validation, validate

__all__ = [
    "ENVIRONMENTS",
    "RESERVED_SECRET_NAMES",
    "SETTINGS",
    "FoundFiles",
    "Layers",
    "Origin",
    "Place",
    "Problem",
    "ReadLayers",
    "Said",
    "Setting",
    "Settings",
    "Tier",
    "Validation",
    "absolute",
    "check_path",
    "check_transit_key",
    "clashes",
    "default_of",
    "differences",
    "find_files",
    "history",
    "is_reserved",
    "json_schema",
    "load_settings",
    "local_of",
    "over",
    "read_layers",
    "reference",
    "tier_of",
    "type_of",
    "validate",
    "variable_of",
]
