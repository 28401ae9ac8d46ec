"""Hard-prunes the integrated registry of OpenShift clusters: what the DAGs are made of."""
