-- Note the limits this process's code declares; an entrypoint it knows without a limit has none any
-- more.
WITH gone AS (
    DELETE FROM pgq_limits AS l
    WHERE l.entrypoint = ANY(:unlimited::text [])
)

INSERT INTO pgq_limits AS l (entrypoint, concurrency, rate, period, burst, per_key)
SELECT n.* FROM unnest(
    :entrypoints::text [], :concurrencies::integer [], :rates::integer [],
    :periods::double precision [], :bursts::integer [], :per_keys::boolean []
) AS n
ORDER BY 1
ON CONFLICT (entrypoint) DO UPDATE SET
    concurrency = excluded.concurrency,
    rate = excluded.rate,
    period = excluded.period,
    burst = excluded.burst,
    per_key = excluded.per_key,
    declared_at = clock_timestamp();
