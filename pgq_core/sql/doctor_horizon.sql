-- Who holds the horizon: nothing that died after it can be vacuumed. Sessions with a snapshot or a
-- transaction id for longer than :horizon_seconds (or, when the time is hidden from us, than :horizon_xids
-- transactions), replication slots that nobody reads or that lag, prepared transactions.
SELECT *
FROM (
    SELECT
        'session' AS kind,
        s.pid::text AS name,
        coalesce(nullif(s.application_name, ''), s.backend_type) AS application,
        s.usename::text AS role,
        s.state,
        left(s.query, 200) AS query,
        extract(EPOCH FROM clock_timestamp() - s.xact_start)::double precision AS seconds,
        greatest(age(s.backend_xmin), age(s.backend_xid)) AS xids
    FROM pg_stat_activity AS s
    WHERE
        s.pid <> pg_backend_pid()
        AND (s.datname = current_database() OR s.datname IS NULL)
        AND NOT starts_with(s.backend_type, 'autovacuum')
        AND (s.backend_xmin IS NOT NULL OR s.backend_xid IS NOT NULL)
        AND (
            s.xact_start < clock_timestamp() - :horizon_seconds * interval '1 second'
            OR (
                s.xact_start IS NULL
                AND greatest(age(s.backend_xmin), age(s.backend_xid)) > :horizon_xids
            )
        )
    UNION ALL
    SELECT
        'slot',
        r.slot_name::text,
        coalesce(r.plugin::text, r.slot_type),
        NULL,
        CASE WHEN r.active THEN 'active' ELSE 'inactive' END,
        NULL,
        NULL,
        greatest(age(r.xmin), age(r.catalog_xmin))
    FROM pg_replication_slots AS r
    WHERE
        (r.xmin IS NOT NULL OR r.catalog_xmin IS NOT NULL)
        AND (r.database = current_database() OR r.database IS NULL)
        AND (NOT r.active OR greatest(age(r.xmin), age(r.catalog_xmin)) > :horizon_xids)
    UNION ALL
    SELECT
        'prepared',
        p.gid,
        NULL,
        p.owner::text,
        'prepared',
        NULL,
        extract(EPOCH FROM clock_timestamp() - p.prepared)::double precision,
        age(p.transaction)
    FROM pg_prepared_xacts AS p
    WHERE
        p.database = current_database()
        AND p.prepared < clock_timestamp() - :horizon_seconds * interval '1 second'
) AS holder
ORDER BY holder.xids DESC NULLS LAST
LIMIT 10;
