"""The stores, by the name under which programs may have imported them."""

from secureml.stores import (
    DevelopmentSource,
    EnvironmentSource,
    Finding,
    MemoryStore,
    Outcome,
    Record,
    SecretStore,
    VersionInfo,
)

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
