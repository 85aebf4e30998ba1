-- How full the server's queue of notifications is (0 to 1), and the listening session in a
-- transaction that has kept it from being read the longest.
SELECT
    pg_notification_queue_usage() AS usage,
    (
        SELECT s.pid
        FROM pg_stat_activity AS s
        WHERE s.datname = current_database() AND s.state LIKE 'idle in transaction%'
        ORDER BY s.xact_start
        LIMIT 1
    ) AS pid;
