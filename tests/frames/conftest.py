"""Hypothesis without deadlines: the first example also reads the table of characters."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("secureml", deadline=None)
settings.load_profile("secureml")
