-- How many jobs are ready in each lane, and how many seconds the first of them has waited: the first
-- not tried before, of the first 100, since others do not tell when they became due again.
SELECT
    lane.queue,
    lane.entrypoint,
    lane.priority,
    sum(waiting.depth)::bigint AS depth,
    max(head.age)::double precision AS age
FROM (
    SELECT DISTINCT
        l.lane_id,
        l.queue,
        l.entrypoint,
        l.priority
    FROM pgq_lanes AS l
) AS lane
CROSS JOIN LATERAL (
    SELECT count(*) AS depth FROM pgq_ready AS r WHERE r.lane_id = lane.lane_id
) AS waiting
LEFT JOIN LATERAL (
    SELECT extract(EPOCH FROM clock_timestamp() - greatest(j.created_at, j.run_at)) AS age
    FROM (
        SELECT
            y.job_id,
            y.position,
            y.attempt
        FROM pgq_ready AS y
        WHERE y.lane_id = lane.lane_id
        ORDER BY y.position
        LIMIT 100
    ) AS r
    INNER JOIN pgq_jobs AS j ON r.job_id = j.id
    WHERE r.attempt = 0
    ORDER BY r.position
    LIMIT 1
) AS head ON TRUE
GROUP BY lane.queue, lane.entrypoint, lane.priority
ORDER BY lane.queue, lane.entrypoint, lane.priority;
