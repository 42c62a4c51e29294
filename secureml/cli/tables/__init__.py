"""``secureml anonymize``, ``reidentify``, ``rekey`` and ``scan``: tables in files."""
