"""What can go wrong while Airflow is started, used and stopped on this machine."""

from __future__ import annotations


class LocalAirflowError(Exception):
    """Something the person at the terminal has to know; its text says what to do next."""
