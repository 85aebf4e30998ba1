-- The jobs that a job waited for, in the order given.
SELECT u.id
FROM pgq_jobs AS j
CROSS JOIN LATERAL unnest(j.after) WITH ORDINALITY AS u (id, place)
WHERE j.id = :id
ORDER BY u.place;
