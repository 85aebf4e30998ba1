-- How many jobs of a queue are due, ready or parked at a busy key, counted up to :limit. The order
-- keeps each look to an index that is read no further than the limit.
SELECT count(*) AS depth
FROM (
    SELECT w.job_id
    FROM (SELECT DISTINCT l.lane_id FROM pgq_lanes AS l WHERE l.queue = :queue) AS lane
    CROSS JOIN LATERAL (
        (
            SELECT r.job_id FROM pgq_ready AS r
            WHERE r.lane_id = lane.lane_id
            ORDER BY r.position
            LIMIT :limit
        )
        UNION ALL
        (
            SELECT b.job_id FROM pgq_blocked AS b
            WHERE b.lane_id = lane.lane_id
            ORDER BY b.position
            LIMIT :limit
        )
    ) AS w
    LIMIT :limit
) AS waiting;
