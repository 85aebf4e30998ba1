-- Every schedule; `declared`: it is the user's, or some live worker's code declares it.
SELECT
    s.*,
    s.origin = 'user' OR EXISTS (
        SELECT FROM pgq_workers AS w
        WHERE
            w.info -> 'schedules' ? s.name
            AND w.beat_at + w.lease_seconds * interval '1 second' >= clock_timestamp()
    ) AS declared
FROM pgq_schedules AS s
ORDER BY s.name;
