-- Which of these jobs do not exist.
SELECT u.id
FROM unnest(:jobs::bigint []) AS u (id)
WHERE NOT EXISTS (SELECT FROM pgq_jobs AS j WHERE j.id = u.id);
