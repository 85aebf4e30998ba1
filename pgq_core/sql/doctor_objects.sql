-- What there is of ours in the schema. `sound` is false for an invalid index and for a trigger that
-- is switched off; `body` is a function's text, `path` the search_path it sets.
SELECT
    CASE c.relkind WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' END AS kind,
    c.relname::text AS name,
    TRUE AS sound,
    NULL AS body,
    NULL AS path
FROM pg_class AS c
WHERE
    c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = :schema)
    AND c.relkind IN ('r', 'S', 'v')
    AND starts_with(c.relname::text, 'pgq_')
UNION ALL
SELECT
    'index',
    c.relname::text,
    i.indisvalid,
    NULL,
    NULL
FROM pg_index AS i
INNER JOIN pg_class AS c ON i.indexrelid = c.oid
WHERE
    c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = :schema)
    AND starts_with(c.relname::text, 'pgq_')
UNION ALL
SELECT
    'trigger',
    t.tgname::text,
    t.tgenabled IN ('O', 'A'),
    NULL,
    NULL
FROM pg_trigger AS t
INNER JOIN pg_class AS c ON t.tgrelid = c.oid
WHERE
    c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = :schema)
    AND starts_with(t.tgname::text, 'pgq_')
UNION ALL
SELECT
    'function',
    p.proname::text,
    TRUE,
    p.prosrc,
    (
        SELECT o.text FROM unnest(p.proconfig) AS o (text)
        WHERE starts_with(o.text, 'search_path=')
    )
FROM pg_proc AS p
WHERE
    p.pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = :schema)
    AND starts_with(p.proname::text, 'pgq_');
