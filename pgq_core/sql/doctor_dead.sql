-- Our tables with more than :dead_rows dead rows, and more of them than live ones.
SELECT
    t.relname::text AS name,
    t.n_dead_tup AS dead,
    t.n_live_tup AS live,
    greatest(t.last_vacuum, t.last_autovacuum)::text AS vacuumed_at
FROM pg_stat_user_tables AS t
WHERE
    t.schemaname = :schema
    AND starts_with(t.relname::text, 'pgq_')
    AND t.n_dead_tup > :dead_rows
    AND t.n_dead_tup > t.n_live_tup
ORDER BY t.n_dead_tup DESC;
