-- Stop starting jobs of a queue, or of one entrypoint in it.
INSERT INTO pgq_queues AS q (queue, entrypoint, paused_at)
VALUES (:queue, :entrypoint, clock_timestamp())
ON CONFLICT (queue, entrypoint) DO UPDATE SET
    paused_at = coalesce(q.paused_at, excluded.paused_at);
