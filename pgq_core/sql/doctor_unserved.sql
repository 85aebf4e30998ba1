-- Queues and entrypoints whose jobs could run now, and that no live worker serves. `waiting` stops
-- counting at 1000 per lane.
WITH live AS (
    SELECT w.info
    FROM pgq_workers AS w
    WHERE w.beat_at + w.lease_seconds * interval '1 second' >= clock_timestamp()
),

lane AS (
    SELECT DISTINCT
        l.lane_id,
        l.queue,
        l.entrypoint
    FROM pgq_lanes AS l
    WHERE NOT EXISTS (
        SELECT FROM live AS w
        WHERE
            w.info -> 'entrypoints' @> to_jsonb(l.entrypoint)
            AND (
                coalesce(w.info -> 'queues', 'null') = 'null'
                OR w.info -> 'queues' @> to_jsonb(l.queue)
            )
    )
),

waiting AS (
    SELECT
        l.queue,
        l.entrypoint,
        (
            SELECT count(*)
            FROM (SELECT FROM pgq_ready AS r WHERE r.lane_id = l.lane_id LIMIT 1000) AS capped
        ) + (
            SELECT count(*)
            FROM (
                SELECT FROM pgq_deferred AS d
                WHERE d.lane_id = l.lane_id AND d.run_at <= statement_timestamp()
                LIMIT 1000
            ) AS capped
        ) AS jobs
    FROM lane AS l
)

SELECT
    w.queue,
    w.entrypoint,
    sum(w.jobs)::bigint AS waiting,
    (SELECT count(*) FROM live) AS live_workers
FROM waiting AS w
WHERE w.jobs > 0
GROUP BY w.queue, w.entrypoint
ORDER BY w.queue, w.entrypoint;
