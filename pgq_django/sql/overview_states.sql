-- How many jobs stand where; counting stops at :cap + 1, so that it costs the same with any number.
SELECT
    (SELECT count(*) FROM (SELECT FROM pgq_ready LIMIT :cap + 1) AS r) AS ready,
    (SELECT count(*) FROM (SELECT FROM pgq_deferred LIMIT :cap + 1) AS d) AS deferred,
    (SELECT count(*) FROM (SELECT FROM pgq_blocked LIMIT :cap + 1) AS b) AS blocked,
    (SELECT coalesce(sum(cardinality(l.job_ids)), 0)::bigint FROM pgq_leases AS l) AS running;
