"""Engines that run functions of single values, and databases."""
