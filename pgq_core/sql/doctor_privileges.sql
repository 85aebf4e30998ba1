-- What a worker needs and the current role may not do, per kind of object: the missing privileges
-- and the objects.
WITH needed AS (
    SELECT
        'TABLE' AS kind,
        format('%I.%I', n.nspname, c.relname) AS name,
        p.privilege,
        has_table_privilege(c.oid, p.privilege) AS granted
    FROM pg_class AS c
    INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
    CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p (privilege)
    WHERE n.nspname = :schema AND c.relkind = 'r' AND starts_with(c.relname::text, 'pgq_')
    UNION ALL
    SELECT
        'SEQUENCE',
        format('%I.%I', n.nspname, c.relname),
        p.privilege,
        has_sequence_privilege(c.oid, p.privilege)
    FROM pg_class AS c
    INNER JOIN pg_namespace AS n ON c.relnamespace = n.oid
    CROSS JOIN unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) AS p (privilege)
    WHERE n.nspname = :schema AND c.relkind = 'S' AND starts_with(c.relname::text, 'pgq_')
    UNION ALL
    SELECT
        'FUNCTION',
        format('%I.%I(%s)', n.nspname, f.proname, pg_get_function_identity_arguments(f.oid)),
        'EXECUTE',
        has_function_privilege(f.oid, 'EXECUTE')
    FROM pg_proc AS f
    INNER JOIN pg_namespace AS n ON f.pronamespace = n.oid
    WHERE n.nspname = :schema AND starts_with(f.proname::text, 'pgq_')
    UNION ALL
    SELECT
        'SCHEMA',
        format('%I', n.nspname),
        'USAGE',
        has_schema_privilege(n.oid, 'USAGE')
    FROM pg_namespace AS n
    WHERE n.nspname = :schema
),

missing AS (
    SELECT
        d.kind,
        d.name,
        string_agg(d.privilege, ', ' ORDER BY d.privilege) AS privileges
    FROM needed AS d
    WHERE NOT d.granted
    GROUP BY d.kind, d.name
)

SELECT
    m.kind,
    m.privileges,
    array_agg(m.name ORDER BY m.name) AS names,
    current_user::text AS role
FROM missing AS m
GROUP BY m.kind, m.privileges
ORDER BY m.kind, m.privileges;
