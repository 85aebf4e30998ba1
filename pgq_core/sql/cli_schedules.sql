-- Every cron rule, by name.
SELECT
    s.name,
    s.cron,
    s.timezone,
    s.entrypoint,
    s.queue,
    s.next_at,
    s.last_at,
    s.paused_at
FROM pgq_schedules AS s
ORDER BY s.name;
