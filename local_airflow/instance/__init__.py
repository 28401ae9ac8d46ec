"""One Airflow on this machine: its environment, its processes, its database, its REST API, and what is known of it."""
