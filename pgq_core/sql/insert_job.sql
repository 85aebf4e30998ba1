-- Enqueue one job without a unique key. Returns its id.
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
