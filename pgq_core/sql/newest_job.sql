-- The newest job's id; NULL when there is none.
SELECT max(j.id) AS id FROM pgq_jobs AS j;
