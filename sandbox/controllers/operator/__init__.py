"""The registry's operator, and what belongs to an OpenShift cluster alone."""
