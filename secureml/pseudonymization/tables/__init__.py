"""Frozen tables of characters and of telephone numbers."""
