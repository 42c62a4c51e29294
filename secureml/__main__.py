"""``python -m secureml`` is the command ``secureml``."""

from secureml.cli import main

main(prog_name="secureml")
