-- Per queue: how many jobs are ready, counting to :cap + 1 in each lane, and how many seconds the
-- first one of its lanes has waited.
SELECT
    lane.queue,
    sum(waiting.depth)::bigint AS depth,
    bool_or(waiting.depth > :cap) AS capped,
    max(head.age)::double precision AS age
FROM (
    SELECT DISTINCT
        l.lane_id,
        l.queue
    FROM pgq_lanes AS l
) AS lane
CROSS JOIN LATERAL (
    SELECT count(*) AS depth
    FROM (SELECT FROM pgq_ready AS r WHERE r.lane_id = lane.lane_id LIMIT :cap + 1) AS n
) AS waiting
LEFT JOIN LATERAL (
    SELECT extract(EPOCH FROM clock_timestamp() - greatest(j.created_at, j.run_at)) AS age
    FROM (
        SELECT r.job_id FROM pgq_ready AS r
        WHERE r.lane_id = lane.lane_id
        ORDER BY r.position
        LIMIT 1
    ) AS h
    INNER JOIN pgq_jobs AS j ON h.job_id = j.id
) AS head ON TRUE
GROUP BY lane.queue
ORDER BY lane.queue;
