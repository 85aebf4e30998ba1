-- Schedules that are due, or not planned yet: the user's, and those of this process's code.
SELECT
    s.name,
    s.cron,
    s.timezone,
    s.catch_up,
    s.next_at,
    clock_timestamp() AS now
FROM pgq_schedules AS s
WHERE
    s.paused_at IS NULL
    AND (s.origin = 'user' OR s.name = ANY(:schedules::text []))
    AND (s.next_at IS NULL OR s.next_at <= clock_timestamp());
