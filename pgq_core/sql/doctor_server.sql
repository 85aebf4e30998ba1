-- What server this is, and whether it can be written to.
SELECT
    current_setting('server_version_num')::integer AS version,
    current_setting('server_version') AS shown,
    pg_is_in_recovery() AS standby,
    current_setting('default_transaction_read_only')::boolean AS read_only,
    current_database()::text AS database;
