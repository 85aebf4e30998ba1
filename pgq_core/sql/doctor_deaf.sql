-- Workers that hear no notifications and poll: because of a pooler, or deaf for no known reason.
SELECT
    w.worker_id,
    w.name,
    w.listener
FROM pgq_workers AS w
WHERE
    w.listener IN ('polling', 'deaf')
    AND w.beat_at + w.lease_seconds * interval '1 second' >= clock_timestamp()
ORDER BY w.worker_id;
