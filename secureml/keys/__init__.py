"""Key material: encodings, handles, fingerprints and derivation."""

from secureml.keys.derivation import MAXIMUM_SIZE, MINIMUM_SIZE, RESERVED, check_size, derive
from secureml.keys.envelope import Envelope
from secureml.keys.material import (
    Encoding,
    Key,
    KeyInfo,
    check_version,
    decode,
    decode_exactly,
    encode,
    fingerprint_of,
    format_material,
)
from secureml.secret_types import SecretBytes

__all__ = [
    "MAXIMUM_SIZE",
    "MINIMUM_SIZE",
    "RESERVED",
    "Encoding",
    "Envelope",
    "Key",
    "KeyInfo",
    "SecretBytes",
    "check_size",
    "check_version",
    "decode",
    "decode_exactly",
    "derive",
    "encode",
    "fingerprint_of",
    "format_material",
]
