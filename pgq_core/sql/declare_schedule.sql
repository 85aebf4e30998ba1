-- Note a schedule: the code's own (origin 'code') or one made at run time (origin 'user'). A changed
-- rule is planned anew.
INSERT INTO pgq_schedules AS s (
    name, cron, timezone, catch_up, entrypoint, queue, priority, payload, headers, jitter, origin
)
VALUES (
    :name, :cron, :timezone, :catch_up, :entrypoint, :queue, :priority, :payload,
    :headers::text::jsonb, :jitter, :origin
)
ON CONFLICT (name) DO UPDATE SET
    cron = excluded.cron,
    timezone = excluded.timezone,
    catch_up = excluded.catch_up,
    entrypoint = excluded.entrypoint,
    queue = excluded.queue,
    priority = excluded.priority,
    payload = excluded.payload,
    headers = excluded.headers,
    jitter = excluded.jitter,
    origin = excluded.origin,
    declared_at = clock_timestamp(),
    next_at = CASE
        WHEN s.cron = excluded.cron AND s.timezone = excluded.timezone THEN s.next_at
    END;
