"""`python -m sandbox`."""
