"""Values that columns hold: text, numbers, decimals and timestamps, as arrays."""
