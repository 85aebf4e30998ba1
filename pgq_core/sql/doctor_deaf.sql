-- Workers that hear no notifications and poll.
SELECT
    w.worker_id,
    w.name
FROM pgq_workers AS w
WHERE
    w.listener = 'deaf'
    AND w.beat_at + w.lease_seconds * interval '1 second' >= clock_timestamp()
ORDER BY w.worker_id;
