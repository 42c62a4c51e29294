"""A real server on loopback ports, for development, the demonstration and tests."""
