-- The result of every succeeded job of an entrypoint.
SELECT
    s.id,
    s.last_result AS result
FROM pgq_job_states AS s
WHERE s.entrypoint = :entrypoint AND s.state = 'succeeded';
