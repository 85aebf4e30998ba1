-- Stop starting jobs of a queue, of an entrypoint ('' stands for every one), or of one in the other.
INSERT INTO pgq_queues AS q (queue, entrypoint, paused_at)
VALUES (:queue, :entrypoint, clock_timestamp())
ON CONFLICT (queue, entrypoint) DO UPDATE SET
    paused_at = coalesce(q.paused_at, excluded.paused_at);
