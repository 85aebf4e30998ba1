-- The newest job's id, 0 when there is none.
SELECT coalesce(max(j.id), 0) AS id FROM pgq_jobs AS j;
