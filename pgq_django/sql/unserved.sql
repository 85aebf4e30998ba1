-- The entrypoints of lanes outside the ones given that hold a waiting job, at most 100.
SELECT DISTINCT l.entrypoint
FROM pgq_lanes AS l
WHERE
    l.entrypoint <> ALL(:served::text [])
    AND (
        EXISTS (SELECT FROM pgq_ready AS r WHERE r.lane_id = l.lane_id)
        OR EXISTS (SELECT FROM pgq_deferred AS d WHERE d.lane_id = l.lane_id)
    )
LIMIT 100;
