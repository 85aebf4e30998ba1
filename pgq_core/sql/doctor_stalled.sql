-- Workers that beat, but whose event loop is blocked.
SELECT
    w.worker_id,
    w.name,
    w.stalled_seconds AS seconds,
    w.running
FROM pgq_workers AS w
WHERE
    w.stalled_seconds > 0
    AND w.beat_at + w.lease_seconds * interval '1 second' >= clock_timestamp()
ORDER BY w.stalled_seconds DESC;
