"""From text to fields and back, for whole columns."""
