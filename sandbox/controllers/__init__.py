"""What acts on the cluster's objects: Deployments, Jobs, the scheduler, and the registry's operator."""
