-- The lane directory for some entrypoints (and queues, NULL for all), newest last.
SELECT
    max(l.id) AS id,
    l.lane_id,
    l.queue,
    l.entrypoint,
    l.priority,
    l.kind
FROM pgq_lanes AS l
WHERE
    l.entrypoint = ANY(:entrypoints)
    AND (:queues::text [] IS NULL OR l.queue = ANY(:queues::text []))
GROUP BY l.lane_id, l.queue, l.entrypoint, l.priority, l.kind
ORDER BY 1;
