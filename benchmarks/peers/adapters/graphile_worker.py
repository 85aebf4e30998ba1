"""Graphile Worker, on Node; its calls are in graphile_worker.mjs."""

TITLE, PACKAGE, JOBS, NODE = "Graphile Worker", "graphile-worker", 10_000, True
SETTINGS = "`concurrentJobs: 24`, pool of 10, `localQueue.size: 500`, `completeJobBatchDelay: 0`, LISTEN on"
WHY = {
    "bulk": "one row per job from one JSON text; we write a body and a pointer",
    "cpu": "no history to write, and Node's JIT against Python",
    "singles": "one row per job and no pointer, and Node's JIT against Python",
    "drain": "no history to write, and Node's JIT against Python",
}
LEFT = "SELECT count(*) FROM graphile_worker._private_jobs"
DEFER = """
INSERT INTO graphile_worker._private_jobs (task_id, payload, run_at)
SELECT id, $1::json, now() + interval '1 day'
FROM graphile_worker._private_tasks, generate_series(1, $2::int) WHERE identifier = 'note'
"""
NOTE = "deletes finished jobs: no history"
