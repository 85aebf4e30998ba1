-- Where a ready job stands.
SELECT
    r.lane_id,
    r.position
FROM pgq_ready AS r
WHERE r.job_id = :job;
