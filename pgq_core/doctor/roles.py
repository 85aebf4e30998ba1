"""What each kind of role needs: the grants of docs/privileges.md, as data."""

from __future__ import annotations

# Privilege, with its column where one is enough → objects.
Grants = dict[str, str]

PRODUCER: Grants = {
    "INSERT": "pgq_jobs pgq_batches",
    "SELECT (id)": "pgq_jobs",
    "SELECT (batch_id)": "pgq_batches",
    "EXECUTE": "pgq_enqueue",
}
WORKER: Grants = {
    "SELECT": "pgq_attempts pgq_batches pgq_blocked pgq_cancels pgq_deferred pgq_edges pgq_holders"
    " pgq_job_states pgq_jobs pgq_lanes pgq_leases pgq_limits pgq_locks pgq_meta pgq_progress"
    " pgq_queues pgq_rates pgq_ready pgq_schedules pgq_workers pgq_lease_ids pgq_positions pgq_idle"
    " pgq_swept pgq_flow pgq_waiting",
    "INSERT": "pgq_jobs pgq_attempts pgq_batches pgq_blocked pgq_deferred pgq_holders pgq_lanes"
    " pgq_leases pgq_limits pgq_progress pgq_rates pgq_ready pgq_schedules pgq_workers",
    "UPDATE": "pgq_limits pgq_progress pgq_rates pgq_schedules pgq_workers pgq_idle pgq_swept"
    " pgq_woken",
    "DELETE": "pgq_attempts pgq_batches pgq_blocked pgq_cancels pgq_deferred pgq_edges pgq_holders"
    " pgq_jobs pgq_lanes pgq_leases pgq_limits pgq_locks pgq_progress pgq_rates pgq_ready"
    " pgq_workers",
    "UPDATE (job_id)": "pgq_blocked",
    "UPDATE (run_at)": "pgq_deferred",
    "UPDATE (after_id)": "pgq_edges",
    "UPDATE (id)": "pgq_jobs",
    "UPDATE (worker_id)": "pgq_leases",
    "UPDATE (entrypoint)": "pgq_locks",
    "UPDATE (lane_id)": "pgq_ready",
    "USAGE": "pgq_lease_ids pgq_positions",
    "EXECUTE": "pgq_enqueue pgq_current_epoch pgq_wake",
}
ADMIN: Grants = {
    "SELECT": "pgq_attempts pgq_batches pgq_blocked pgq_cancels pgq_deferred pgq_edges pgq_holders"
    " pgq_job_states pgq_jobs pgq_lanes pgq_leases pgq_locks pgq_meta pgq_progress pgq_queues"
    " pgq_ready pgq_schedules pgq_workers pgq_waiting pgq_flow",
    "INSERT": "pgq_jobs pgq_attempts pgq_batches pgq_cancels pgq_deferred pgq_lanes pgq_locks"
    " pgq_queues pgq_ready pgq_schedules",
    "UPDATE": "pgq_cancels pgq_locks pgq_queues pgq_schedules pgq_waiting",
    "DELETE": "pgq_attempts pgq_batches pgq_blocked pgq_cancels pgq_deferred pgq_edges pgq_holders"
    " pgq_jobs pgq_locks pgq_progress pgq_ready pgq_schedules",
    "UPDATE (job_id)": "pgq_blocked",
    "UPDATE (run_at)": "pgq_deferred",
    "UPDATE (after_id)": "pgq_edges",
    "UPDATE (id)": "pgq_jobs",
    "UPDATE (lane_id)": "pgq_ready",
    "USAGE": "pgq_positions",
    "EXECUTE": "pgq_enqueue pgq_wake",
}
ROLES = {"worker": WORKER, "admin": ADMIN, "producer": PRODUCER}


def asked() -> dict[str, list[str | None]]:
    """One line per role, object and privilege: the values of doctor_privileges.sql."""
    lines = [
        (purpose, name, *divided(privilege))
        for purpose, grants in ROLES.items()
        for privilege, names in grants.items()
        for name in names.split()
    ]
    purposes, names, privileges, columns = zip(*lines, strict=True)
    return {
        "purposes": list(purposes),
        "names": list(names),
        "privileges": list(privileges),
        "columns": list(columns),
    }


def divided(privilege: str) -> tuple[str, str | None]:
    """`UPDATE (id)` is UPDATE and the column id."""
    name, _, column = privilege.partition(" (")
    return name, column.rstrip(")") or None
