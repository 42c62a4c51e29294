"""Ciphers on bare numbers and text: they take key bytes, and know no manager and no table."""
