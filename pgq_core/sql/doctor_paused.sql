-- Pause flags behind which jobs wait.
SELECT
    q.queue,
    q.entrypoint,
    extract(EPOCH FROM clock_timestamp() - q.paused_at)::double precision AS seconds
FROM pgq_queues AS q
WHERE
    q.paused_at IS NOT NULL
    AND EXISTS (
        SELECT FROM pgq_lanes AS l
        WHERE
            q.queue IN ('', l.queue)
            AND q.entrypoint IN ('', l.entrypoint)
            AND EXISTS (SELECT FROM pgq_ready AS r WHERE r.lane_id = l.lane_id)
    )
ORDER BY q.queue, q.entrypoint;
