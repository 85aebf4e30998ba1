-- What failed for good in the last day, the newest 2,000 of it: per entrypoint how often, when last,
-- and the last error.
SELECT
    j.entrypoint,
    count(*) AS failures,
    max(f.finished_at) AS latest,
    (array_agg(f.error ->> 'type' ORDER BY f.finished_at DESC))[1] AS error,
    (array_agg(f.error ->> 'message' ORDER BY f.finished_at DESC))[1] AS message,
    (array_agg(f.job_id ORDER BY f.finished_at DESC))[1] AS job_id
FROM (
    SELECT
        a.job_id,
        a.finished_at,
        a.error
    FROM pgq_attempts AS a
    WHERE a.outcome = 'failed' AND a.finished_at > statement_timestamp() - interval '1 day'
    ORDER BY a.finished_at DESC
    LIMIT 2000
) AS f
CROSS JOIN LATERAL (
    SELECT b.entrypoint FROM pgq_jobs AS b
    WHERE b.id = f.job_id
    OFFSET 0
) AS j
GROUP BY j.entrypoint
ORDER BY failures DESC, j.entrypoint
LIMIT 10;
