-- What failed for good in the last day: per entrypoint how often, when last, and the last error.
SELECT
    j.entrypoint,
    count(*) AS failures,
    max(f.finished_at) AS latest,
    (array_agg(f.error ->> 'type' ORDER BY f.finished_at DESC))[1] AS error,
    (array_agg(f.error ->> 'message' ORDER BY f.finished_at DESC))[1] AS message,
    (array_agg(j.id ORDER BY f.finished_at DESC))[1] AS job_id
FROM (
    SELECT
        a.job_id,
        a.finished_at,
        a.error
    FROM pgq_attempts AS a
    WHERE a.outcome = 'failed' AND a.finished_at > clock_timestamp() - interval '1 day'
    ORDER BY a.finished_at DESC
    LIMIT 5000
) AS f
INNER JOIN pgq_jobs AS j ON f.job_id = j.id
GROUP BY j.entrypoint
ORDER BY failures DESC, j.entrypoint
LIMIT 10;
