-- How many jobs have their last outcome.
SELECT count(*) AS done
FROM pgq_attempts AS a
WHERE a.outcome IN ('succeeded', 'failed', 'cancelled');
