-- Other workers that hold jobs and no session lock: by it alone we would know that they live.
-- Returns each with its last beat.
SELECT
    w.worker_id,
    w.beat_at
FROM pgq_workers AS w
WHERE
    w.worker_id <> :worker
    AND EXISTS (SELECT FROM pgq_leases AS l WHERE l.worker_id = w.worker_id)
    AND (
        w.locked_at IS NULL
        OR w.locked_at <= (SELECT e.since FROM pgq_current_epoch() AS e)
        OR pg_try_advisory_xact_lock_shared(pgq_worker_key(w.worker_id))
    );
