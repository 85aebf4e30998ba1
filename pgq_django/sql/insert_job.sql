-- Enqueue one job that has no unique key and waits for no other. Returns its id and the times the database has noted.
INSERT INTO pgq_jobs (
    entrypoint, payload, priority, queue, run_at, concurrency_key, headers, max_attempts, timeout
)
VALUES (
    :entrypoint::text,
    :payload::bytea,
    :priority::smallint,
    :queue::text,
    coalesce(
        :run_at::timestamptz,
        clock_timestamp() + :delay::double precision * interval '1 second'
    ),
    :concurrency_key::text,
    :headers::text::jsonb,
    :max_attempts::smallint,
    :timeout::double precision
)
RETURNING id, created_at, run_at;
