-- Our tables that take, with their indexes, more than :bloat_bytes and more than :bloat_factor times what their
-- live rows need (out-of-line values are not counted on either side).
SELECT
    b.name,
    b.bytes,
    b.needed
FROM (
    SELECT
        t.relname::text AS name,
        pg_relation_size(t.relid) + pg_indexes_size(t.relid) AS bytes,
        (t.n_live_tup * (60 + 2 * coalesce((
            SELECT sum(s.avg_width)
            FROM pg_stats AS s
            WHERE s.schemaname = t.schemaname AND s.tablename = t.relname
        ), 0)))::bigint AS needed
    FROM pg_stat_user_tables AS t
    WHERE t.schemaname = :schema AND starts_with(t.relname::text, 'pgq_')
) AS b
WHERE b.bytes > :bloat_bytes AND b.bytes > :bloat_factor * b.needed
ORDER BY b.bytes DESC;
