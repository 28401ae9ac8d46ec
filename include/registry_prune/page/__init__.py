"""The page in Airflow's UI: what it shows, who may see it, and the JSON that it is made of."""
