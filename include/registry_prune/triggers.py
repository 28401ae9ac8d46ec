"""The address of the trigger until 0.1.0: a delete that was deferred before an upgrade has it in Airflow's database.

It goes with the release after the next one.
"""

from include.registry_prune.tasks.triggers import DeleteTrigger

__all__ = ["DeleteTrigger"]
