"""pg-boss, on Node; its calls are in pg_boss.mjs."""

TITLE, PACKAGE, JOBS, NODE = "pg-boss", "pg-boss", 10_000, True
SETTINGS = (
    "`batchSize: 500`, `pollingIntervalSeconds: 0.5` (its least), `notifyWorker` after a full "
    "batch, pool of 10"
)
WHY = {
    "bulk": "one row per job from one JSON text; we write a body and a pointer",
    "cpu": "a batch is one call of the handler and one UPDATE, and Node's JIT against Python",
    "drain": "a batch is one call of the handler and one UPDATE, and Node's JIT against Python",
}
ACKED = "SELECT count(*) FROM pgboss.job WHERE state = 'completed'"
DEFER = """
INSERT INTO pgboss.job (name, data, start_after)
SELECT 'note', $1::jsonb, now() + interval '1 day' FROM generate_series(1, $2::int)
"""
