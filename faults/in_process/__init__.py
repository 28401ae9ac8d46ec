"""Faults that need no process but this one."""
