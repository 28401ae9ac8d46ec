"""An Airflow as it is installed for real: CeleryExecutor, PostgreSQL, Redis, each part with a home of its own."""
