-- From enqueue to the start of the last attempt, in seconds, over the jobs of an entrypoint.
SELECT
    percentile_cont(0.5) WITHIN GROUP (ORDER BY w.seconds) AS p50,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY w.seconds) AS p99
FROM (
    SELECT extract(EPOCH FROM s.last_started_at - s.created_at)::double precision AS seconds
    FROM pgq_job_states AS s
    WHERE s.entrypoint = :entrypoint AND s.state = 'succeeded'
) AS w;
