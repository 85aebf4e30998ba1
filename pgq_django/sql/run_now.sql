-- Make deferred jobs due now and wake a worker. Returns per job 'due', or its state.
WITH due AS (
    UPDATE pgq_deferred AS d
    SET run_at = clock_timestamp()
    WHERE d.job_id = ANY(:jobs::bigint [])
    RETURNING d.job_id
),

woken AS MATERIALIZED (
    SELECT pgq_wake('') AS void FROM (SELECT count(*) AS jobs FROM due) AS n WHERE n.jobs > 0
)

SELECT
    s.id AS job_id,
    CASE WHEN s.id IN (SELECT d.job_id FROM due AS d) THEN 'due' ELSE s.state END AS verdict
FROM pgq_job_states AS s
LEFT JOIN woken AS w ON TRUE
WHERE s.id = ANY(:jobs::bigint []);
