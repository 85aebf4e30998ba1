-- What is paused: queues, and entrypoints ('' for all) in them.
SELECT
    q.queue,
    q.entrypoint,
    q.paused_at
FROM pgq_queues AS q
WHERE q.paused_at IS NOT NULL
ORDER BY q.queue, q.entrypoint;
