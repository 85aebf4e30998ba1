-- The jobs a killed worker held: how many, and the longest time in seconds from the kill until one
-- was given back, and until one was started again.
SELECT
    count(*) AS jobs,
    extract(EPOCH FROM max(lost.finished_at) - :killed_at::timestamptz)::double precision AS given_back,
    extract(EPOCH FROM max(again.started_at) - :killed_at::timestamptz)::double precision AS started_again
FROM pgq_attempts AS lost
LEFT JOIN LATERAL (
    SELECT a.started_at
    FROM pgq_attempts AS a
    WHERE a.job_id = lost.job_id AND a.attempt > lost.attempt
    ORDER BY a.attempt
    LIMIT 1
) AS again ON TRUE
WHERE lost.worker_id = :worker AND lost.outcome = 'lost';
