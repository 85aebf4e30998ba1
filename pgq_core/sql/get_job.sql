-- One job with its state, last outcome included.
SELECT *
FROM pgq_job_states
WHERE id = :id;
