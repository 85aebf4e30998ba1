-- Where autovacuum is off: for the server (no name), or for tables of ours.
SELECT
    NULL AS name,
    s.name AS setting
FROM pg_settings AS s
WHERE s.name IN ('autovacuum', 'track_counts') AND s.setting = 'off'
UNION ALL
SELECT
    c.relname::text,
    'autovacuum_enabled'
FROM pg_class AS c
WHERE
    c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = :schema)
    AND c.relkind = 'r'
    AND starts_with(c.relname::text, 'pgq_')
    AND EXISTS (
        SELECT FROM unnest(c.reloptions) AS o (text)
        WHERE lower(o.text) IN (
            'autovacuum_enabled=false', 'autovacuum_enabled=off', 'autovacuum_enabled=0',
            'autovacuum_enabled=no'
        )
    )
ORDER BY 1;
