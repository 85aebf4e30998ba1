-- A wake-up is not for us, or we leave: take back the idle flag if it names us, let all others look.
SELECT
    (
        SELECT setval(i.tableoid::regclass, 0)
        FROM pgq_idle AS i
        WHERE i.last_value & 1048575 = :worker::bigint & 1048575
    ) AS flag,
    pg_notify(pgq_channel(0), 'look') AS told;
