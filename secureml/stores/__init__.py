"""Sources of secrets. A source reports what happened; it decides nothing."""

from secureml.stores.base import Finding, Outcome, Record, SecretStore, VersionInfo
from secureml.stores.development import DevelopmentSource
from secureml.stores.environment import EnvironmentSource
from secureml.stores.memory import MemoryStore

__all__ = [
    "DevelopmentSource",
    "EnvironmentSource",
    "Finding",
    "MemoryStore",
    "Outcome",
    "Record",
    "SecretStore",
    "VersionInfo",
]
