-- The database's clock, later by some seconds.
SELECT clock_timestamp() + :later::double precision * interval '1 second' AS now;
