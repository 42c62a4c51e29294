"""The manifest: what recovery needs to know and the pseudonyms can't carry.

It names the key and how each column was made, and holds no value and no key material. A check
value tells a wrong key before anything is decrypted, and a MAC tells a changed manifest.
"""

from secureml.pseudonymization.manifest.canonical import read_json
from secureml.pseudonymization.manifest.carried import ColumnManifests, parse_manifest
from secureml.pseudonymization.manifest.columns import Column, Counts
from secureml.pseudonymization.manifest.layouts import SCHEMA
from secureml.pseudonymization.manifest.signed import Manifest, ManifestDocument

__all__ = [
    "SCHEMA",
    "Column",
    "ColumnManifests",
    "Counts",
    "Manifest",
    "ManifestDocument",
    "parse_manifest",
    "read_json",
]
