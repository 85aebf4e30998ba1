-- How many jobs of a queue are ready, counted up to :limit.
SELECT count(*) AS depth
FROM (
    SELECT r.job_id
    FROM (SELECT DISTINCT l.lane_id FROM pgq_lanes AS l WHERE l.queue = :queue) AS lane
    INNER JOIN pgq_ready AS r ON lane.lane_id = r.lane_id
    LIMIT :limit
) AS waiting;
