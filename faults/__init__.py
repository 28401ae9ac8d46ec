"""The fault sweep: real runs against a sandbox, something goes wrong in each, and the end is looked at.

A test tool: ``python -m faults``, ``make faults``. What it looks for is in :mod:`faults.arena`.
"""
