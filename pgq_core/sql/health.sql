-- What a probe needs, cheaply: live workers, the oldest ready job's age, failures of the last hour.
-- A job tried before does not tell when it became due again: the first of each lane that was not
-- counts, of the first 100. Polling workers do so by configuration or behind a pooler; deaf ones should hear and do not.
SELECT
    (
        SELECT count(*) FROM pgq_workers AS w
        WHERE w.beat_at + w.lease_seconds * interval '1 second' >= clock_timestamp()
    ) AS workers,
    (
        SELECT count(*) FROM pgq_workers AS w
        WHERE w.beat_at + w.lease_seconds * interval '1 second' < clock_timestamp()
    ) AS dead_workers,
    (SELECT count(*) FROM pgq_workers AS w WHERE w.stalled_seconds > 0) AS stalled_workers,
    (
        SELECT count(*) FROM pgq_workers AS w
        WHERE
            w.listener IN ('polling', 'off')
            AND w.beat_at + w.lease_seconds * interval '1 second' >= clock_timestamp()
    ) AS polling_workers,
    (SELECT count(*) FROM pgq_workers AS w WHERE w.listener = 'deaf') AS deaf_workers,
    (
        SELECT extract(EPOCH FROM clock_timestamp() - min(greatest(j.created_at, j.run_at)))
        FROM (
            SELECT DISTINCT l.lane_id FROM pgq_lanes AS l
        ) AS lane
        CROSS JOIN LATERAL (
            SELECT r.job_id
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
            WHERE r.attempt = 0
            ORDER BY r.position
            LIMIT 1
        ) AS head
        INNER JOIN pgq_jobs AS j ON head.job_id = j.id
    )::double precision AS oldest_ready,
    (
        SELECT count(*) FROM pgq_attempts AS a
        WHERE a.outcome = 'failed' AND a.finished_at > statement_timestamp() - interval '1 hour'
    ) AS failed_last_hour;
