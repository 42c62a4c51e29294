"""CSV files, worked on as bytes: all that is not replaced stays as it was."""

from secureml.files.csv.dialect import UNTOLD, Dialect, Told
from secureml.files.csv.table import CsvTable

__all__ = ["UNTOLD", "CsvTable", "Dialect", "Told"]
