"""Key material: how it is written down, held, told apart and derived."""

from secureml.keys.derivation import MAXIMUM_SIZE, MINIMUM_SIZE, RESERVED, derive
from secureml.keys.envelope import Envelope
from secureml.keys.material import (
    Encoding,
    Key,
    KeyInfo,
    decode,
    decode_exactly,
    encode,
    fingerprint_of,
    written,
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
    "decode",
    "decode_exactly",
    "derive",
    "encode",
    "fingerprint_of",
    "written",
]
