-- What became of the jobs of an entrypoint. Seconds: from the first enqueued to the last finished.
WITH histories AS (
    SELECT
        a.job_id,
        count(*) AS starts,
        count(*) FILTER (WHERE a.outcome = 'succeeded') AS successes,
        count(*) FILTER (WHERE a.outcome = 'retry') AS retries,
        bool_or(a.outcome = 'lost') AS interrupted,
        max(a.finished_at) AS finished_at
    FROM pgq_attempts AS a
    GROUP BY a.job_id
)

SELECT
    count(*) FILTER (WHERE s.state = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE s.state IN ('failed', 'cancelled')) AS failed,
    count(*) FILTER (WHERE s.state IN ('ready', 'deferred', 'blocked', 'running')) AS unfinished,
    count(*) FILTER (WHERE h.retries > 0) AS retried,
    count(*) FILTER (WHERE h.interrupted) AS interrupted,
    count(*) FILTER (WHERE h.starts > 1) AS run_twice,
    count(*) FILTER (WHERE h.successes > 1) AS completed_twice,
    extract(EPOCH FROM max(h.finished_at) - min(s.created_at))::double precision AS seconds
FROM pgq_job_states AS s
LEFT JOIN histories AS h ON s.id = h.job_id
WHERE s.entrypoint = :entrypoint;
