"""The page in Airflow's UI, in a browser, beside Airflow's own grid."""
