-- Register this process. Returns its id, its lock key and its channels. The epoch is opened here at
-- the latest: a lock taken before its epoch began would not be believed.
WITH made AS (
    INSERT INTO pgq_workers (name, lease_seconds, info)
    VALUES (:name, :lease, :info::text::jsonb)
    RETURNING worker_id
),

opened AS MATERIALIZED (
    SELECT e.epoch FROM pgq_current_epoch() AS e
)

SELECT
    m.worker_id,
    pgq_worker_key(m.worker_id) AS key,
    pgq_channel(m.worker_id & 1048575) AS channel,
    pgq_channel(0) AS common
FROM made AS m
CROSS JOIN opened AS o
WHERE o.epoch IS NOT NULL;
