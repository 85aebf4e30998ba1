-- Which of the privileges asked for (parallel arrays) the current role does not have. What does not
-- exist is not asked about.
WITH wanted AS (
    SELECT
        n.purpose,
        n.name,
        n.privilege,
        n.column_name,
        c.oid AS relation,
        c.relkind,
        f.oid AS function
    FROM unnest(:purposes::text [], :names::text [], :privileges::text [], :columns::text [])
        AS n (purpose, name, privilege, column_name)
    CROSS JOIN (SELECT s.oid FROM pg_namespace AS s WHERE s.nspname = :schema) AS home
    LEFT JOIN pg_class AS c
        ON c.relname = n.name AND c.relnamespace = home.oid AND n.privilege <> 'EXECUTE'
    LEFT JOIN pg_proc AS f
        ON f.proname = n.name AND f.pronamespace = home.oid AND n.privilege = 'EXECUTE'
),

judged AS (
    SELECT
        w.*,
        CASE
            WHEN w.function IS NOT NULL THEN has_function_privilege(w.function, w.privilege)
            WHEN w.relkind = 'S' THEN has_sequence_privilege(w.relation, w.privilege)
            WHEN w.column_name IS NOT NULL
                THEN has_column_privilege(w.relation, w.column_name, w.privilege)
            WHEN w.relation IS NOT NULL THEN has_table_privilege(w.relation, w.privilege)
            ELSE TRUE
        END AS granted
    FROM wanted AS w
)

SELECT
    j.purpose,
    j.name,
    j.privilege,
    j.column_name,
    CASE WHEN j.function IS NOT NULL THEN 'FUNCTION' WHEN j.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END
        AS kind,
    current_user::text AS role
FROM judged AS j
WHERE NOT j.granted
UNION ALL
SELECT
    p.purpose,
    :schema,
    'USAGE',
    NULL,
    'SCHEMA',
    current_user::text
FROM (SELECT DISTINCT n.purpose FROM unnest(:purposes::text []) AS n (purpose)) AS p
WHERE NOT has_schema_privilege(:schema, 'USAGE')
ORDER BY 1, 5, 3, 4, 2;
