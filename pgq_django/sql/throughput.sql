-- Per minute of the last hour (0: the one that runs): attempts that ended, and how long jobs waited
-- from due to their first start. Looks at the 20,000 attempts of the newest jobs that have any, so
-- it costs the same with any number of them.
SELECT
    floor(extract(EPOCH FROM statement_timestamp() - a.finished_at) / 60)::integer AS minute,
    count(*) FILTER (WHERE a.outcome = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE a.outcome IN ('failed', 'retry', 'lost')) AS failed,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY w.wait) FILTER (WHERE w.wait >= 0) AS p50,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY w.wait) FILTER (WHERE w.wait >= 0) AS p95
FROM (
    SELECT
        n.job_id,
        n.attempt,
        n.outcome,
        n.started_at,
        n.finished_at
    FROM pgq_attempts AS n
    ORDER BY n.job_id DESC, n.attempt DESC
    LIMIT 20000
) AS a
LEFT JOIN LATERAL (
    SELECT
        extract(
            EPOCH FROM a.started_at - greatest(j.created_at, j.run_at)
        )::double precision AS wait
    FROM pgq_jobs AS j
    WHERE a.attempt = 1 AND j.id = a.job_id
    OFFSET 0
) AS w ON TRUE
WHERE a.finished_at > statement_timestamp() - interval '1 hour'
GROUP BY 1
ORDER BY 1;
