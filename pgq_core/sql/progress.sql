-- What a running job says of itself.
INSERT INTO pgq_progress (job_id, attempt, fraction, message, updated_at)
VALUES (:id, :attempt, :fraction, :message, clock_timestamp())
ON CONFLICT (job_id) DO UPDATE SET
    attempt = excluded.attempt,
    fraction = excluded.fraction,
    message = excluded.message,
    updated_at = excluded.updated_at;
