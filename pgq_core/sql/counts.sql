-- How many jobs stand where, by queue and entrypoint.
SELECT
    s.queue,
    s.entrypoint,
    s.state,
    count(*) AS jobs
FROM pgq_job_states AS s
GROUP BY s.queue, s.entrypoint, s.state
ORDER BY s.queue, s.entrypoint, s.state;
