-- Claim jobs under limits and keys. Rows as in claim.sql; the last one holds only the status.
SELECT
    status,
    lease_id,
    lane_id,
    position,
    attempt,
    spent,
    crashes,
    cap,
    job_id,
    created_at,
    run_at,
    timeout,
    priority,
    max_attempts,
    queue,
    entrypoint,
    unique_key,
    concurrency_key,
    headers,
    payload
FROM pgq_claim_limited(
    :worker, :token, :count, :lanes::bigint[], :floors::bigint[], :kinds::text[],
    :entrypoints::text[], :caps::smallint[]
);
