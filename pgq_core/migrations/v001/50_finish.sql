-- Jobs that go back: to the deferred ones, or where they came from. Those in p_again only; the
-- arrays are those of pgq_finish.
CREATE FUNCTION pgq_put_back(
    p_again bigint [],
    p_jobs bigint [],
    p_attempts integer [],
    p_outcomes text [],
    p_lanes bigint [],
    p_delays double precision [],
    p_spent smallint [],
    p_crashes smallint []
)
RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    -- Read after the caller's transaction got its xid: a due time must lie behind it.
    v_now timestamptz := clock_timestamp();
    v_wake text;
BEGIN
    INSERT INTO pgq_deferred (run_at, lane_id, job_id, attempt, spent, crashes)
    SELECT
        v_now + o.delay * interval '1 second', o.lane_id, o.job_id, o.attempt, o.spent, o.crashes
    FROM unnest(p_jobs, p_attempts, p_lanes, p_delays, p_spent, p_crashes)
        AS o (job_id, attempt, lane_id, delay, spent, crashes)
    WHERE o.job_id = ANY(p_again) AND o.delay > 0;

    WITH put AS (
        INSERT INTO pgq_ready (lane_id, position, job_id, attempt, spent, crashes)
        SELECT
            -- What a shutdown interrupted goes before what has not started.
            CASE WHEN o.outcome = 'interrupted' THEN pgq_again(o.lane_id) ELSE o.lane_id END,
            nextval('pgq_positions'), o.job_id, o.attempt, o.spent, o.crashes
        FROM unnest(p_jobs, p_attempts, p_outcomes, p_lanes, p_delays, p_spent, p_crashes)
            AS o (job_id, attempt, outcome, lane_id, delay, spent, crashes)
        WHERE o.job_id = ANY(p_again) AND o.delay <= 0
        RETURNING lane_id
    )

    SELECT CASE WHEN min(put.lane_id) = max(put.lane_id) THEN min(put.lane_id)::text ELSE '' END
    INTO v_wake
    FROM put;
    PERFORM pgq_wake(v_wake);
END
$$;

-- Why outcomes of a flush were not written: of leases asked for (with tokens) and not held, the jobs
-- that were not written before either.
CREATE FUNCTION pgq_refused(
    p_worker bigint,
    p_held bigint [],
    p_asked bigint [],
    p_tokens bigint [],
    p_leases bigint [],
    p_jobs bigint [],
    p_attempts integer []
)
RETURNS TABLE (refused bigint, reason text)
LANGUAGE sql SET search_path FROM CURRENT AS $$
SELECT
    o.job_id,
    CASE
        WHEN EXISTS (
            SELECT FROM pgq_leases AS l
            WHERE l.worker_id = p_worker AND l.lease_id = o.lease_id AND l.token = o.token
        ) THEN 'busy'
        ELSE 'gone'
    END
FROM (
    SELECT u.lease_id, u.job_id, u.attempt, t.token
    FROM unnest(p_leases, p_jobs, p_attempts) AS u (lease_id, job_id, attempt)
    LEFT JOIN unnest(p_asked, p_tokens)
        AS t (lease_id, token) ON t.lease_id = u.lease_id
) AS o
WHERE
    o.lease_id <> ALL(coalesce(p_held, '{}'))
    AND NOT EXISTS (
        SELECT FROM pgq_attempts AS a
        WHERE
            a.job_id = o.job_id
            AND a.attempt = o.attempt
            AND a.worker_id = p_worker
            -- What rescue decided in our name is not ours.
            AND a.error ->> 'type' IS DISTINCT FROM 'WorkerLost'
    );
$$;

-- Write the outcomes of one flush. Guard first: an outcome counts only while its lease stands
-- (p_shut: leases whose last job ends here, deleted; p_open: leases that stay, locked). Then the
-- attempts; a row that is new drives every other effect, so a flush whose answer was lost can be
-- sent again: what it wrote is skipped; while it still writes, a unique violation says so. Returns
-- the jobs that were refused: 'gone', their lease was taken away, or 'busy', somebody holds it now.
--
-- Per job: lease, id, attempt, seconds since it started and since it ended (negative: never
-- started), outcome, error and result (JSON text), and for retry, snooze and interrupted the lane,
-- the delay in seconds, and what to carry on in spent and crashes. The arrays from p_outcomes on may
-- be shorter: the jobs beyond their end succeeded, and there is nothing else to say of them.
-- p_keyed: some job holds a unique key. p_requeue: some job goes back. p_limited: some job holds a
-- place under a limit or a key.
CREATE FUNCTION pgq_finish(
    p_worker bigint,
    p_shut bigint [],
    p_shut_tokens bigint [],
    p_open bigint [],
    p_open_tokens bigint [],
    p_leases bigint [],
    p_jobs bigint [],
    p_attempts integer [],
    p_started double precision [],
    p_finished double precision [],
    p_outcomes text [],
    p_errors text [],
    p_results text [],
    p_lanes bigint [],
    p_delays double precision [],
    p_spent smallint [],
    p_crashes smallint [],
    p_keyed boolean,
    p_requeue boolean,
    p_limited boolean
)
RETURNS TABLE (refused bigint, reason text)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_now timestamptz;
    v_held bigint [];
    v_open bigint [];
    v_done bigint [];   -- written here and now: what was written before has had its effects
    v_again bigint [];  -- of these, the ones that go back
    v_ended bigint [];  -- of these, the ones that are over
BEGIN
    IF cardinality(p_shut) > 0 THEN
        WITH shut AS (
            DELETE FROM pgq_leases
            WHERE ctid = ANY(ARRAY(
                SELECT l.ctid
                FROM unnest(p_shut, p_shut_tokens) AS s (lease_id, token)
                CROSS JOIN LATERAL (
                    SELECT y.ctid
                    FROM pgq_leases AS y
                    WHERE
                        y.worker_id = p_worker
                        AND y.lease_id = s.lease_id
                        AND y.token = s.token
                    FOR UPDATE SKIP LOCKED
                ) AS l
            ))
            RETURNING lease_id
        )

        SELECT array_agg(shut.lease_id) INTO v_held FROM shut;
    END IF;
    IF cardinality(p_open) > 0 THEN
        SELECT array_agg(l.lease_id) INTO v_open
        FROM unnest(p_open, p_open_tokens) AS s (lease_id, token)
        CROSS JOIN LATERAL (
            SELECT y.lease_id
            FROM pgq_leases AS y
            WHERE y.worker_id = p_worker AND y.lease_id = s.lease_id AND y.token = s.token
            FOR KEY SHARE SKIP LOCKED
        ) AS l;
        v_held := v_held || v_open;
    END IF;

    v_now := clock_timestamp();
    WITH done AS (
        INSERT INTO pgq_attempts (
            job_id, attempt, outcome, worker_id, started_at, finished_at, error, result
        )
        SELECT
            o.job_id,
            o.attempt,
            CASE
                WHEN o.outcome IN ('retry', 'snooze', 'interrupted')
                    AND EXISTS (SELECT FROM pgq_cancels AS c WHERE c.job_id = o.job_id)
                    THEN 'cancelled'
                ELSE coalesce(o.outcome, 'succeeded')
            END,
            p_worker,
            CASE WHEN o.started >= 0 THEN v_now - o.started * interval '1 second' END,
            v_now - o.finished * interval '1 second',
            o.error::jsonb,
            o.result::jsonb
        FROM unnest(
            p_leases, p_jobs, p_attempts, p_started, p_finished, p_outcomes, p_errors, p_results
        ) AS o (lease_id, job_id, attempt, started, finished, outcome, error, result)
        WHERE
            o.lease_id = ANY(v_held)
            AND NOT EXISTS (
                SELECT FROM pgq_attempts AS a
                WHERE a.job_id = o.job_id AND a.attempt = o.attempt
            )
        RETURNING pgq_attempts.job_id, pgq_attempts.outcome
    )

    SELECT
        array_agg(d.job_id),
        array_agg(d.job_id) FILTER (WHERE d.outcome IN ('retry', 'snooze', 'interrupted')),
        array_agg(d.job_id) FILTER (WHERE d.outcome IN ('succeeded', 'failed', 'cancelled'))
    INTO v_done, v_again, v_ended
    FROM done AS d;

    IF p_requeue AND v_again IS NOT NULL THEN
        PERFORM pgq_put_back(
            v_again, p_jobs, p_attempts, p_outcomes, p_lanes, p_delays, p_spent, p_crashes
        );
    END IF;

    IF p_keyed THEN
        DELETE FROM pgq_locks
        WHERE ctid = ANY(ARRAY(
            SELECT l.ctid
            FROM unnest(v_ended) AS e (job_id)
            CROSS JOIN LATERAL (
                SELECT y.ctid
                FROM pgq_locks AS y
                WHERE y.job_id = e.job_id AND y.expires_at IS NULL
                FOR UPDATE SKIP LOCKED
            ) AS l
        ));
    END IF;

    IF p_limited THEN
        PERFORM pgq_release(v_done);
    END IF;
    IF (SELECT f.last_value FROM pgq_flow AS f) > 0 THEN
        PERFORM pgq_follow(v_ended);
    END IF;

    IF EXISTS (SELECT FROM pgq_cancels) THEN
        DELETE FROM pgq_cancels AS c WHERE c.job_id = ANY(v_ended);
    END IF;

    IF (SELECT last_value FROM pgq_waiting) > pgq_now_ms() THEN
        PERFORM pgq_tell_ended(v_ended);
    END IF;

    IF coalesce(cardinality(v_held), 0) < cardinality(p_shut) + cardinality(p_open) THEN
        RETURN QUERY SELECT * FROM pgq_refused(
            p_worker, v_held, p_shut || p_open, p_shut_tokens || p_open_tokens, p_leases, p_jobs,
            p_attempts
        );
    END IF;
END
$$;
