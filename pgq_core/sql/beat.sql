-- Say that this process lives; makes its row anew if it was taken for dead. Returns how many
-- seconds the row's last beat lay back, NULL when the row was gone.
WITH before AS (
    SELECT extract(EPOCH FROM clock_timestamp() - w.beat_at)::double precision AS age
    FROM pgq_workers AS w
    WHERE w.worker_id = :worker
),

beaten AS (
    INSERT INTO pgq_workers (
        worker_id, name, lease_seconds, info, stalled_seconds, running, listener, locked_at
    )
    VALUES (
        :worker,
        :name,
        :lease,
        :info::text::jsonb,
        :stalled,
        :running,
        :listener,
        CASE WHEN :locked::boolean THEN clock_timestamp() END
    )
    ON CONFLICT (worker_id) DO UPDATE SET
        beat_at = clock_timestamp(),
        info = excluded.info,
        stalled_seconds = excluded.stalled_seconds,
        running = excluded.running,
        listener = excluded.listener,
        locked_at = CASE
            WHEN excluded.locked_at IS NULL THEN NULL
            WHEN :relocked::boolean THEN excluded.locked_at
            ELSE coalesce(pgq_workers.locked_at, excluded.locked_at)
        END
    RETURNING worker_id
)

SELECT (SELECT b.age FROM before AS b) AS age FROM beaten;
