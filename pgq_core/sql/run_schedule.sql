-- Run a schedule now, besides its plan. Returns the job's id.
INSERT INTO pgq_jobs (queue, entrypoint, priority, payload, headers)
SELECT
    s.queue,
    s.entrypoint,
    s.priority,
    s.payload,
    coalesce(s.headers, '{}') || jsonb_build_object(
        'pgq-schedule', s.name,
        'pgq-tick', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
    )
FROM pgq_schedules AS s
WHERE s.name = :name
RETURNING id;
