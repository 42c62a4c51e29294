"""Pseudonymize the columns of a table, recover them, and move them to another key."""

from secureml.anonymization.merging import merge_manifests
from secureml.anonymization.tables import anonymize, reidentify, rekey

__all__ = ["anonymize", "merge_manifests", "reidentify", "rekey"]
