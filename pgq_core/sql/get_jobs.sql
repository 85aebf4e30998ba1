-- Jobs by filter, newest first; the page after :before. A NULL filter lets everything through.
SELECT *
FROM pgq_job_states
WHERE
    (:before::bigint IS NULL OR id < :before)
    AND (:queue::text IS NULL OR queue = :queue)
    AND (:entrypoint::text IS NULL OR entrypoint = :entrypoint)
    AND (:states::text [] IS NULL OR state = ANY(:states))
    AND (:unique_key::text IS NULL OR unique_key = :unique_key)
    AND (:created_after::timestamptz IS NULL OR created_at >= :created_after)
    AND (:created_before::timestamptz IS NULL OR created_at < :created_before)
ORDER BY id DESC
LIMIT :limit;
