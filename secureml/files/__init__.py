"""Tables in files of several kinds: pseudonymized, recovered and moved to another key in chunks."""

from secureml.files.datasets import WrittenFiles, anonymize_files, reidentify_files
from secureml.files.manifests import manifest_of
from secureml.files.progress import Done
from secureml.files.rekeying import rekey_file
from secureml.files.single import anonymize_file, preview_file, reidentify_file
from secureml.files.transfer import Written
from secureml.files.usage import KeyUsage, key_usage

__all__ = [
    "Done",
    "KeyUsage",
    "Written",
    "WrittenFiles",
    "anonymize_file",
    "anonymize_files",
    "key_usage",
    "manifest_of",
    "preview_file",
    "reidentify_file",
    "reidentify_files",
    "rekey_file",
]
