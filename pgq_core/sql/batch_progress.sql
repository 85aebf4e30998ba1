-- How many of a batch's jobs have ended, and how; `pruned` ones are gone with their history. No row
-- when there is no such batch.
SELECT
    cardinality(b.job_ids) AS total,
    count(*) FILTER (WHERE s.state = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE s.state = 'failed') AS failed,
    count(*) FILTER (WHERE s.state = 'cancelled') AS cancelled,
    count(*) FILTER (WHERE s.id IS NULL) AS pruned
FROM pgq_batches AS b
CROSS JOIN LATERAL unnest(b.job_ids) AS j (id)
LEFT JOIN pgq_job_states AS s ON s.id = j.id
WHERE b.batch_id = :batch
GROUP BY b.batch_id;
