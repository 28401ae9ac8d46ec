"""The clusters that an Airflow is pointed to: the sandbox, and those of a kubeconfig."""
