"""The steps of a run as Airflow sees them, by time; thin shells over the other rooms."""
