-- Make one deferred job due before all others. Returns its id.
UPDATE pgq_deferred
SET run_at = '-infinity'
WHERE job_id = :job
RETURNING job_id;
