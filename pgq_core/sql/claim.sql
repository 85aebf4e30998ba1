-- Claim jobs. Returns one row per job, then one row that holds only the status.
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
FROM pgq_claim(
    :worker, :token, :count, :lanes::bigint[], :starts::bigint[], :ends::bigint[],
    :caps::smallint[], :single::bigint[], :floor_lanes::bigint[], :floors::bigint[], :settled,
    :settle_xid, :force_xid, :look, :due_from, :due_settle, :idle_ms::integer,
    :schedules::text[], :limited::bigint[], :limited_floors::bigint[]
);
