"""Formats, strategies and the manifest; takes keys and arrays, knows no frames or managers."""
