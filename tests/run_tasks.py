"""The tasks of a run, in the order that they work in."""

from __future__ import annotations

IN_ORDER = (
    "verify_access",
    "base_prune",
    "restart_registry",
    "grant_image_pruner",
    "survey",
    "survey_gate",
    "integrity_before",
    "approve_window",
    "right_moment",
    "arm_window",
    "set_read_only",
    "dry_run",
    "blob_threshold",
    "hard_prune",
    "restore_read_write",
    "reconcile",
    "integrity_after",
    "revoke_image_pruner",
    "verify_restored",
    "remove_deleted",
    "report",
)
