"""Faults of a real Airflow of several processes."""
