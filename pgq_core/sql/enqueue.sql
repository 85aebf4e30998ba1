-- Enqueue many jobs. Returns per input row, in order: the job's id and whether it is new.
SELECT
    e.job_id,
    e.fresh
FROM pgq_enqueue(
    :entrypoints, :payloads, :priorities, :queues, :run_ats, :delays, :unique_keys,
    :concurrency_keys, :headers, :max_attempts, :timeouts
) AS e
ORDER BY e.ordinal;
