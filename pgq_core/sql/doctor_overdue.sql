-- Lanes whose oldest job has been due for longer than :overdue_seconds, although a worker serves them and
-- nobody has paused them. A job that was tried before does not tell when it became due again: the
-- first that was not counts, of the first 100.
WITH lane AS (
    SELECT DISTINCT
        l.lane_id,
        l.queue,
        l.entrypoint,
        l.priority
    FROM pgq_lanes AS l
    WHERE
        EXISTS (
            SELECT FROM pgq_workers AS w
            WHERE
                w.beat_at + w.lease_seconds * interval '1 second' >= clock_timestamp()
                AND w.info -> 'entrypoints' @> to_jsonb(l.entrypoint)
                AND (
                    coalesce(w.info -> 'queues', 'null') = 'null'
                    OR w.info -> 'queues' @> to_jsonb(l.queue)
                )
        )
        AND NOT EXISTS (
            SELECT FROM pgq_queues AS q
            WHERE
                q.queue IN ('', l.queue)
                AND q.entrypoint IN ('', l.entrypoint)
                AND q.paused_at IS NOT NULL
        )
),

head AS (
    SELECT
        l.queue,
        l.entrypoint,
        l.priority,
        r.job_id,
        greatest(j.created_at, j.run_at) AS due_at
    FROM lane AS l
    CROSS JOIN LATERAL (
        SELECT y.job_id
        FROM (
            SELECT
                x.job_id,
                x.position,
                x.attempt
            FROM pgq_ready AS x
            WHERE x.lane_id = l.lane_id
            ORDER BY x.position
            LIMIT 100
        ) AS y
        WHERE y.attempt = 0
        ORDER BY y.position
        LIMIT 1
    ) AS r
    INNER JOIN pgq_jobs AS j ON r.job_id = j.id
    UNION ALL
    SELECT
        l.queue,
        l.entrypoint,
        l.priority,
        d.job_id,
        d.run_at
    FROM (
        SELECT
            y.job_id,
            y.lane_id,
            y.run_at
        FROM pgq_deferred AS y
        ORDER BY y.run_at
        LIMIT 1
    ) AS d
    INNER JOIN lane AS l ON d.lane_id = l.lane_id
)

SELECT
    h.queue,
    h.entrypoint,
    h.priority,
    h.job_id,
    extract(EPOCH FROM clock_timestamp() - h.due_at)::double precision AS seconds
FROM head AS h
WHERE h.due_at < clock_timestamp() - :overdue_seconds * interval '1 second'
ORDER BY h.due_at;
