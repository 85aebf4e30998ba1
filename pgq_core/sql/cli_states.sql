-- The state of each of these jobs; unknown ids are left out.
SELECT
    s.id,
    s.state
FROM pgq_job_states AS s
WHERE s.id = ANY(:jobs);
