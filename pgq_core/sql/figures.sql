-- Figures for metrics: jobs that wait for their time or for others, jobs held by workers, and for
-- how many seconds the oldest snapshot has kept vacuum from cleaning up.
SELECT
    (SELECT count(*) FROM pgq_deferred) AS deferred,
    (SELECT count(*) FROM pgq_blocked) AS blocked,
    (SELECT coalesce(sum(cardinality(l.job_ids)), 0) FROM pgq_leases AS l)::bigint AS leased,
    (
        SELECT coalesce(max(extract(EPOCH FROM clock_timestamp() - a.xact_start)), 0)
        FROM pg_stat_activity AS a
        WHERE a.backend_xmin IS NOT NULL AND a.datname = current_database()
    )::double precision AS horizon_age;
