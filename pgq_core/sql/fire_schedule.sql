-- Fire ticks of a schedule and plan the next: only the process that finds the rule unpaused and as it
-- read it, :expected included, does; so a tick is enqueued once over any number of processes. Returns
-- the jobs' ids.
WITH mine AS (
    UPDATE pgq_schedules AS s
    SET
        next_at = :next_at,
        last_at = coalesce((SELECT max(t.at) FROM unnest(:ticks::timestamptz []) AS t (at)), s.last_at)
    WHERE
        s.name = :name
        AND s.paused_at IS NULL
        AND s.cron = :cron
        AND s.timezone = :timezone
        AND s.next_at IS NOT DISTINCT FROM :expected::timestamptz
    RETURNING s.*
)

INSERT INTO pgq_jobs (queue, entrypoint, priority, payload, headers, run_at)
SELECT
    m.queue,
    m.entrypoint,
    m.priority,
    m.payload,
    coalesce(m.headers, '{}') || jsonb_build_object(
        'pgq-schedule', m.name,
        'pgq-tick', to_char(t.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
    ),
    CASE WHEN m.jitter > 0 THEN t.at + random() * m.jitter * interval '1 second' END
FROM mine AS m
CROSS JOIN unnest(:ticks::timestamptz []) AS t (at)
ORDER BY t.at
RETURNING id;
