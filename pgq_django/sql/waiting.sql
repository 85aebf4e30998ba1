-- How many jobs stand where; finished ones are not counted.
SELECT
    (SELECT count(*) FROM pgq_ready) AS ready,
    (SELECT count(*) FROM pgq_deferred) AS deferred,
    (SELECT count(*) FROM pgq_blocked) AS blocked,
    (SELECT coalesce(sum(cardinality(l.job_ids)), 0)::bigint FROM pgq_leases AS l) AS running;
