-- Per minute of the last hour (0: the one that runs): attempts that ended, and how long jobs waited
-- from due to their first start. Looks at the newest 20,000 jobs, so it costs the same with any
-- number of them.
SELECT
    floor(extract(EPOCH FROM clock_timestamp() - a.finished_at) / 60)::integer AS minute,
    count(*) FILTER (WHERE a.outcome = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE a.outcome IN ('failed', 'retry', 'lost')) AS failed,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY w.wait) FILTER (WHERE w.wait >= 0) AS p50,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY w.wait) FILTER (WHERE w.wait >= 0) AS p95
FROM pgq_attempts AS a
INNER JOIN pgq_jobs AS j ON a.job_id = j.id
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN a.attempt = 1
                THEN extract(EPOCH FROM a.started_at - greatest(j.created_at, j.run_at))
        END::double precision AS wait
) AS w
WHERE
    a.job_id > (SELECT coalesce(max(n.id), 0) - 20000 FROM pgq_jobs AS n)
    AND a.finished_at > clock_timestamp() - interval '1 hour'
GROUP BY 1
ORDER BY 1;
