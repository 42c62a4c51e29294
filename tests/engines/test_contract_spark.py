"""What every kind of table has to keep, on Spark."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from helpers.frames import FrameContract

pytest.importorskip("pyspark", reason="Spark is not installed: the extra spark brings it")

from pyspark.errors import PythonException

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")


class TestSparkFrame(FrameContract):
    streams = True
    pickles = False
    twice = False
    nameless = False
    alone = None

    @pytest.fixture(autouse=True)
    def _session(self, spark: Any) -> None:
        type(self).session = spark

    def has(self, arrow_type: pa.DataType, nulls: bool) -> bool:
        """Tell whether Spark has the very type; of others it makes one for the same values."""
        types = pa.types
        return (
            types.is_string(arrow_type)
            or types.is_signed_integer(arrow_type)
            or (types.is_floating(arrow_type) and arrow_type != pa.float16())
            or types.is_decimal128(arrow_type)
            or types.is_date32(arrow_type)
            or (types.is_timestamp(arrow_type) and arrow_type.unit == "us")
            or types.is_boolean(arrow_type)
            or types.is_binary(arrow_type)
            or types.is_duration(arrow_type)
            or (types.is_nested(arrow_type) and not types.is_dictionary(arrow_type))
        )

    def make(self, table: pa.Table) -> Any:
        # Spark reads no chunk behind one without rows.
        return self.session.createDataFrame(table.combine_chunks())

    def read(self, frame: Any) -> pa.Table:
        return frame.toArrow()

    def raised(self, kind: type[Exception], match: str) -> Any:
        """Expect an error of a worker, which Spark tells as text."""
        return pytest.raises(PythonException, match=f"{kind.__name__}: .*{match}")

    def types(self, frame: Any) -> list[Any]:
        return [field.dataType for field in frame.schema]

    def attached(self, frame: Any) -> Any:
        documents = [
            json.loads(field.metadata["secureml"])
            for field in frame.schema
            if "secureml" in field.metadata
        ]
        return documents[0] if documents else None
