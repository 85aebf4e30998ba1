-- Take back what dead workers held. Dead: no beat for a lease time, or, when the session lock was
-- taken in this epoch, the lock is free. Two statements: first the leases are locked (SKIP LOCKED);
-- then, with a new snapshot, the jobs without an outcome for their attempt are given back and the
-- leases deleted. In one statement the look for outcomes would predate the lock wait, and jobs just
-- finished would run again.
--
-- A job that was running in the first crash goes back, into a lane of kind 'again' that is served
-- before those of its priority which have not started yet; from the second on it waits in a
-- lane of its own kind, 'alone', so that only the guilty one collects more; at the fourth it has
-- failed. A job that may start only once has failed at the first. Returns what was decided.
CREATE FUNCTION pgq_rescue(p_workers bigint [])
RETURNS TABLE (job_id bigint, attempt integer, outcome text, worker_id bigint)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_dead bigint [];
    v_leases bigint [];
    v_row record;
    v_freed bigint [] := '{}';
    v_ended bigint [] := '{}';
BEGIN
    SELECT array_agg(w.worker_id) INTO v_dead
    FROM pgq_workers AS w
    WHERE
        w.worker_id = ANY(p_workers)
        AND (
            w.beat_at + w.lease_seconds * interval '1 second' < clock_timestamp()
            OR (
                w.locked_at > (SELECT e.since FROM pgq_current_epoch() AS e)
                AND pg_try_advisory_xact_lock_shared(pgq_worker_key(w.worker_id))
            )
        );
    -- A lease whose worker has no row any more is nobody's.
    v_dead := v_dead || ARRAY(
        SELECT p.id FROM unnest(p_workers) AS p (id)
        WHERE NOT EXISTS (SELECT FROM pgq_workers AS w WHERE w.worker_id = p.id)
    );

    SELECT array_agg(k.lease_id) INTO v_leases
    FROM (
        SELECT l.lease_id FROM pgq_leases AS l
        WHERE l.worker_id = ANY(v_dead)
        FOR UPDATE SKIP LOCKED
    ) AS k;

    -- Places under limits are counted by one at a time: their locks, in order, before we look.
    PERFORM pg_advisory_xact_lock(k.key)
    FROM (
        SELECT DISTINCT pgq_limit_key(h.entrypoint) AS key
        FROM pgq_leases AS l
        CROSS JOIN LATERAL unnest(l.job_ids) AS u (id)
        INNER JOIN pgq_holders AS h ON h.job_id = u.id
        WHERE l.worker_id = ANY(v_dead) AND l.lease_id = ANY(v_leases)
        ORDER BY 1
    ) AS k;

    FOR v_row IN
    WITH lost AS (
        SELECT l.worker_id, l.claimed_at, u.*
        FROM pgq_leases AS l
        CROSS JOIN LATERAL unnest(l.job_ids, l.attempts, l.spent, l.crashes, l.caps)
            AS u (job_id, attempt, spent, crashes, cap)
        WHERE
            l.worker_id = ANY(v_dead)
            AND l.lease_id = ANY(v_leases)
            AND NOT EXISTS (
                SELECT FROM pgq_attempts AS a
                WHERE a.job_id = u.job_id AND a.attempt = u.attempt
            )
    ),

    verdict AS (
        SELECT
            x.*,
            CASE
                WHEN x.cap = 1 THEN 'failed'
                WHEN x.crashes + 1 >= 4 THEN 'failed'
                WHEN EXISTS (SELECT FROM pgq_cancels AS c WHERE c.job_id = x.job_id)
                    THEN 'cancelled'
                ELSE 'lost'
            END AS outcome
        FROM lost AS x
    ),

    written AS (
        INSERT INTO pgq_attempts (
            job_id, attempt, outcome, worker_id, started_at, finished_at, error
        )
        SELECT
            v.job_id, v.attempt, v.outcome, v.worker_id, v.claimed_at, clock_timestamp(),
            jsonb_build_object(
                'type', 'WorkerLost',
                'message', CASE
                    WHEN v.cap = 1 THEN 'its worker was lost, and this job may start only once'
                    WHEN v.outcome = 'failed' THEN
                        'killed its worker: ' || v.crashes + 1 || ' workers died while it ran'
                    ELSE 'its worker was lost while it ran'
                END
            )
        FROM verdict AS v
        ON CONFLICT DO NOTHING
        RETURNING pgq_attempts.job_id, pgq_attempts.attempt, pgq_attempts.outcome
    ),

    back AS (
        SELECT
            v.job_id, v.attempt, v.spent, (v.crashes + 1)::smallint AS crashes, j.queue,
            j.entrypoint, j.priority,
            CASE
                WHEN v.crashes + 1 >= 2 THEN 'alone'
                WHEN j.concurrency_key IS NULL AND NOT EXISTS (
                    SELECT FROM pgq_limits AS m WHERE m.entrypoint = j.entrypoint
                ) THEN 'again'
                ELSE pgq_kind(j.concurrency_key)
            END AS kind
        FROM written AS w
        INNER JOIN verdict AS v ON v.job_id = w.job_id AND v.attempt = w.attempt
        CROSS JOIN LATERAL (
            SELECT b.* FROM pgq_jobs AS b WHERE b.id = w.job_id OFFSET 0
        ) AS j
        WHERE w.outcome = 'lost'
    ),

    put AS (
        INSERT INTO pgq_ready (lane_id, position, job_id, attempt, spent, crashes)
        SELECT
            pgq_lane_id(b.queue, b.entrypoint, b.priority, b.kind), nextval('pgq_positions'),
            b.job_id, b.attempt, b.spent, b.crashes
        FROM back AS b
    ),

    lanes AS (
        INSERT INTO pgq_lanes (lane_id, priority, kind, queue, entrypoint)
        SELECT n.lane_id, n.priority, n.kind, n.queue, n.entrypoint
        FROM (
            SELECT DISTINCT
                pgq_lane_id(b.queue, b.entrypoint, b.priority, b.kind) AS lane_id,
                b.priority, b.kind, b.queue, b.entrypoint
            FROM back AS b
        ) AS n
        WHERE NOT EXISTS (SELECT FROM pgq_lanes AS l WHERE l.lane_id = n.lane_id)
    ),

    freed AS (
        DELETE FROM pgq_locks AS k USING written AS w
        WHERE
            k.job_id = w.job_id
            AND k.expires_at IS NULL
            AND w.outcome IN ('failed', 'cancelled')
    )

    SELECT v.job_id, v.attempt, w.outcome, v.worker_id, v.crashes
    FROM written AS w
    INNER JOIN verdict AS v ON v.job_id = w.job_id AND v.attempt = w.attempt
    LOOP
        job_id := v_row.job_id;
        attempt := v_row.attempt;
        outcome := v_row.outcome;
        worker_id := v_row.worker_id;
        RETURN NEXT;
        IF v_row.outcome <> 'lost' THEN
            v_ended := v_ended || v_row.job_id;
        END IF;
        -- A suspect keeps its place while it waits to run alone.
        IF v_row.outcome <> 'lost' OR v_row.crashes = 0 THEN
            v_freed := v_freed || v_row.job_id;
        END IF;
    END LOOP;
    PERFORM pgq_release(v_freed);
    PERFORM pgq_follow(v_ended);
    IF (SELECT w.last_value FROM pgq_waiting AS w) > pgq_now_ms() THEN
        PERFORM pgq_tell_ended(v_ended);
    END IF;

    DELETE FROM pgq_leases AS l
    WHERE l.worker_id = ANY(v_dead) AND l.lease_id = ANY(v_leases);
    DELETE FROM pgq_workers AS w
    WHERE
        w.worker_id = ANY(v_dead)
        AND NOT EXISTS (SELECT FROM pgq_leases AS l WHERE l.worker_id = w.worker_id);
    PERFORM pgq_wake('');
END
$$;
