"""Where secrets are looked for. A source reports what happened; it decides nothing."""

from secureml.sources.base import Finding, Outcome, Record, SecretStore, VersionInfo
from secureml.sources.development import DevelopmentSource
from secureml.sources.environment import EnvironmentSource
from secureml.sources.memory import MemoryStore

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
