"""Pseudonymize the columns of a table, recover them, and move them to another key."""

from secureml.anonymization.apply import anonymize
from secureml.anonymization.merging import merge_manifests
from secureml.anonymization.previewing import preview
from secureml.anonymization.pseudonymizer import Pseudonymizer
from secureml.anonymization.recovery import reidentify
from secureml.anonymization.rekeying import rekey

__all__ = ["Pseudonymizer", "anonymize", "merge_manifests", "preview", "reidentify", "rekey"]
