"""The settings of this process, from every layer, and those in force within a block."""

from secureml.configuration.process import configure, get_settings, override, reset

__all__ = ["configure", "get_settings", "override", "reset"]
