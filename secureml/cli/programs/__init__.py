"""Runs other programs: their environment, their secret files, their output and their end."""
