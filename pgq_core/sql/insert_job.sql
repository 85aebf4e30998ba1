-- Enqueue one job that has no unique key and waits for no other. Returns its id.
INSERT INTO pgq_jobs (
    entrypoint, payload, priority, queue, run_at, concurrency_key, headers, max_attempts, timeout
)
VALUES (
    :entrypoint,
    :payload,
    :priority,
    :queue,
    coalesce(:run_at::timestamptz, clock_timestamp() + :delay * interval '1 second'),
    :concurrency_key,
    :headers::text::jsonb,
    :max_attempts,
    :timeout
)
RETURNING id;
