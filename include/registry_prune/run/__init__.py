"""One run as its tasks see it: who it is, what it was asked to do, what each of its steps is in Airflow's terms."""
