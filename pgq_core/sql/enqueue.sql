-- Enqueue many jobs. Returns per input row, in order: the job's id and whether it is new.
SELECT
    e.job_id,
    e.fresh
FROM pgq_enqueue(
    :entrypoints::text[], :payloads::bytea[], :priorities::smallint[], :queues::text[],
    :run_ats::timestamptz[], :delays::double precision[], :unique_keys::text[],
    :concurrency_keys::text[], :headers::text[], :max_attempts::smallint[],
    :timeouts::double precision[], :unique_fors::double precision[], :unique_whiles::text[],
    :afters::text[], :on_failures::text[], :replaces::boolean[], :raises::boolean[]
) AS e
ORDER BY e.ordinal;
