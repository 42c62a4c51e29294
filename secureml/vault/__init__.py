"""Talking to Vault or OpenBao, setting one up, and running one."""

VERSIONS_KEPT = 100_000
"""As many versions as no key ever has: a rotation must not destroy an old one."""
