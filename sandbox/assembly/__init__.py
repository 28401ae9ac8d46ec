"""All rooms put together: one cluster in one process."""
