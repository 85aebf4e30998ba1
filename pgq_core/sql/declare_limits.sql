-- Note the limits this process's code declares.
INSERT INTO pgq_limits AS l (entrypoint, concurrency, rate, period, burst)
SELECT n.* FROM unnest(
    :entrypoints::text [], :concurrencies::integer [], :rates::integer [],
    :periods::double precision [], :bursts::integer []
) AS n
ON CONFLICT (entrypoint) DO UPDATE SET
    concurrency = excluded.concurrency,
    rate = excluded.rate,
    period = excluded.period,
    burst = excluded.burst,
    declared_at = clock_timestamp();
