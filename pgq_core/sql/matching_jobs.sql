-- Ids of jobs by filter, oldest first, behind :after and up to :upto.
SELECT s.id
FROM pgq_job_states AS s
WHERE
    s.id > :after
    AND s.id <= :upto
    AND (:queue::text IS NULL OR s.queue = :queue)
    AND (:entrypoint::text IS NULL OR s.entrypoint = :entrypoint)
    AND s.state = ANY(:states::text [])
    AND (:created_after::timestamptz IS NULL OR s.created_at >= :created_after)
    AND (:created_before::timestamptz IS NULL OR s.created_at < :created_before)
ORDER BY s.id
LIMIT :limit;
