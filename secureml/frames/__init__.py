"""Tables: the values of their columns as arrays, and back."""
