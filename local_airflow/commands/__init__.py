"""What ``run``, ``up``, ``down`` and ``status`` do."""
