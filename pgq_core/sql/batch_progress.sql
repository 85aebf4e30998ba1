-- How many of a batch's jobs have ended, and how; total is NULL when there is no such batch.
SELECT
    (SELECT cardinality(b.job_ids) FROM pgq_batches AS b WHERE b.batch_id = :batch) AS total,
    count(*) FILTER (WHERE o.outcome = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE o.outcome = 'failed') AS failed,
    count(*) FILTER (WHERE o.outcome = 'cancelled') AS cancelled
FROM pgq_batches AS b
CROSS JOIN LATERAL unnest(b.job_ids) AS j (id)
CROSS JOIN LATERAL (
    SELECT a.outcome
    FROM pgq_attempts AS a
    WHERE a.job_id = j.id
    ORDER BY a.attempt DESC
    LIMIT 1
) AS o
WHERE b.batch_id = :batch;
