-- The lane each of these jobs belongs to.
SELECT
    j.id,
    pgq_lane_id(j.queue, j.entrypoint, j.priority, pgq_kind(j.concurrency_key)) AS lane_id
FROM pgq_jobs AS j
WHERE j.id = ANY(:jobs);
