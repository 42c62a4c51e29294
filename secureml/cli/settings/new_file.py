"""The settings file that a project begins with, and what git is to pass over."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import tomlkit

from secureml.cli.output import shown

if TYPE_CHECKING:
    from secureml.scanning import Proposal

__all__ = ["SCHEMA_FILE", "first_settings", "with_ignored"]

SCHEMA_FILE = "settings.schema.json"
"""The schema's name beside the settings file, so that everybody's editor finds it."""

_HEAD = f"""\
#:schema ./{SCHEMA_FILE}
# Settings of this project: one section per environment, [default] for what holds in all of them.
#
#   SECUREML_ENV=development     selects the section (development, staging, production, or one that
#                                you add); with none selected, [default] alone applies.
#   SECUREML_VAULT_URL=...       a variable wins over this file; so does an argument in Python.
#   settings.local.toml          beside this file: the same sections, for your machine only. It is
#                                not read in production, and stays out of version control.
#   secureml settings show       prints every setting, and where it comes from.
#
# Tokens and passwords belong in none of these files: name a file that holds them, or use variables.

[default]
# The key that is used if none is named.
"""

_RULES = """
# What becomes of columns of these names, as a scan of {file} proposes it. Read the rules
# before you rely on them: names and contents are all that a scan sees.

"""

_NO_RULES = """
# What becomes of the columns of a name; `secureml scan FILE` proposes rules.
# [default.columns."*email*"]
# strategy = "token"
# domain = "email"
"""

_DEVELOPMENT = """
[development]
# Keys that are public and protect nothing, so that the code runs at once. Nothing outside
# development can turn this on.
use_default_fallback = true
# vault_url = "http://127.0.0.1:8200"
"""

_EXAMPLE_URL = '# vault_url = "https://vault.example.com:8200"\n'

_NEEDS: Mapping[str, str] = {
    "token": """\
# The token is in the variable SECUREML_VAULT_TOKEN, or in a file.
# vault_token_file = "/run/secrets/vault-token"
""",
    "token_file": '# vault_token_file = "~/.vault-token"\n',
    "approle": """\
# vault_role_id = "3f6a0b52-6c0e-4f0c-9c5b-0f5d9c8c1a11"
# vault_secret_id_file = "/run/secrets/vault-secret-id"
""",
    "kubernetes": '# vault_role = "reports"\n',
    "jwt": '# vault_role = "reports"\n# vault_jwt_file = "/run/secrets/vault-jwt"\n',
    "cert": """\
# vault_client_cert = "/run/secrets/client.pem"
# vault_client_key = "/run/secrets/client.key"
""",
    "none": "",
}
_USER = """\
# vault_username = "reports"
# vault_password_file = "/run/secrets/vault-password"
"""

_PRODUCTION = """\
# A line of JSON for each access to a key.
# audit_log = "/var/log/secureml/audit.log"
"""

_IGNORED = ("settings.local.toml", ".secureml/")


def first_settings(
    vault_url: str, vault_auth: str, master_key_name: str, file: str, proposals: Sequence[Proposal]
) -> str:
    """Return the text of a project's first settings file.

    Args:
        vault_url: the address of Vault; empty if there is none yet.
        vault_auth: how programs log in.
        master_key_name: the name of the master key.
        file: the file that was scanned; empty if none was.
        proposals: what the scan proposes.
    """
    name = _said(master_key_name=master_key_name)
    rules = "\n".join(map(_rule, proposals))
    about = _RULES.format(file=shown(file)) if proposals else _NO_RULES
    url = _said(vault_url=vault_url) if vault_url else _EXAMPLE_URL
    vault = url + _said(vault_auth=vault_auth) + _NEEDS.get(vault_auth, _USER)
    return (
        f"{_HEAD}{name}{about}{rules}{_DEVELOPMENT}\n[staging]\n{vault}\n[production]\n{vault}"
        f"{_PRODUCTION}"
    )


def with_ignored(content: bytes) -> bytes:
    """Return the content of a ``.gitignore`` with the lines that it lacks.

    Args:
        content: what it holds, in any encoding; it stays as it is.
    """
    lines = content.removeprefix(codecs.BOM_UTF8).splitlines()
    present = {line.strip().lstrip(b"/") for line in lines}
    lacking = [name.encode() for name in _IGNORED if name.encode() not in present]
    end = b"\r\n" if b"\r\n" in content else b"\n"
    if not lacking:
        return content
    open_line = end if content and not content.endswith(b"\n") else b""
    return content + open_line + b"".join(line + end for line in lacking)


def _said(**values: str) -> str:
    return tomlkit.dumps(values)


def _rule(proposal: Proposal) -> str:
    table = {"default": {"columns": {proposal.column: proposal.rule.document()}}}
    return f"# {proposal.kind}: {shown(proposal.evidence)}\n{tomlkit.dumps(table)}"
