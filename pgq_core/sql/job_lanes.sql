-- The lane each of these jobs belongs to, given how many crashes it has seen.
SELECT
    j.id,
    pgq_lane_id(
        j.queue, j.entrypoint, j.priority,
        CASE WHEN u.crashes >= 2 THEN 'alone' ELSE pgq_kind(j.concurrency_key) END
    ) AS lane_id
FROM unnest(:jobs::bigint [], :crashes::smallint []) AS u (id, crashes)
INNER JOIN pgq_jobs AS j ON j.id = u.id;
