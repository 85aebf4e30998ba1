-- Cancel those of p_jobs that have not started; returns them. Waits for a claim in flight. With
-- p_free also the keys they hold for a period are free again.
CREATE FUNCTION pgq_cancel_waiting(p_jobs bigint [], p_reason text, p_free boolean)
RETURNS bigint [] LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_cancelled bigint [];
BEGIN
    -- In one order, so that two callers cannot wait for each other.
    PERFORM FROM pgq_ready AS r WHERE r.job_id = ANY(p_jobs) ORDER BY r.job_id FOR UPDATE;
    PERFORM FROM pgq_deferred AS d WHERE d.job_id = ANY(p_jobs) ORDER BY d.job_id FOR UPDATE;
    PERFORM FROM pgq_blocked AS b WHERE b.job_id = ANY(p_jobs) ORDER BY b.job_id FOR UPDATE;

    WITH wanted AS (
        SELECT DISTINCT u.id FROM unnest(p_jobs) AS u (id)
    ),

    ready AS (
        DELETE FROM pgq_ready AS r USING wanted AS w WHERE r.job_id = w.id
        RETURNING r.job_id, r.attempt
    ),

    deferred AS (
        DELETE FROM pgq_deferred AS d USING wanted AS w WHERE d.job_id = w.id
        RETURNING d.job_id, d.attempt
    ),

    blocked AS (
        DELETE FROM pgq_blocked AS b USING wanted AS w WHERE b.job_id = w.id
        RETURNING b.job_id, b.attempt
    ),

    written AS (
        INSERT INTO pgq_attempts (job_id, attempt, outcome, finished_at, error)
        SELECT
            p.job_id, p.attempt + 1, 'cancelled', clock_timestamp(),
            jsonb_build_object('type', 'Cancelled', 'message', coalesce(p_reason, 'cancelled'))
        FROM (
            SELECT * FROM ready
            UNION ALL
            SELECT * FROM deferred
            UNION ALL
            SELECT * FROM blocked
        ) AS p
        RETURNING pgq_attempts.job_id
    )

    SELECT array_agg(w.job_id) INTO v_cancelled FROM written AS w;
    IF v_cancelled IS NULL THEN
        RETURN NULL;
    END IF;

    DELETE FROM pgq_locks AS l
    WHERE l.job_id = ANY(v_cancelled) AND (l.expires_at IS NULL OR p_free);
    -- Their places are handed over by the next sweep: no lock is held here until the caller commits.
    DELETE FROM pgq_holders AS h WHERE h.job_id = ANY(v_cancelled);
    DELETE FROM pgq_edges AS e WHERE e.job_id = ANY(v_cancelled);
    IF (SELECT f.last_value FROM pgq_flow AS f) > 0 THEN
        PERFORM pgq_follow(v_cancelled);
    END IF;
    IF (SELECT last_value FROM pgq_waiting) > pgq_now_ms() THEN
        PERFORM pgq_tell_ended(v_cancelled);
    END IF;
    RETURN v_cancelled;
END
$$;

-- Cancel jobs. One that has not started is cancelled now; for one that runs the wish is noted and
-- its worker told. Returns what happened per job: 'cancelled', 'requested', 'finished' (too late)
-- or 'unknown'. Waits for a claim in flight, so no job slips between the two statements.
CREATE FUNCTION pgq_cancel(p_jobs bigint [], p_reason text)
RETURNS TABLE (job_id bigint, verdict text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    v_cancelled bigint [] := pgq_cancel_waiting(p_jobs, p_reason, FALSE);
    v_requested bigint [];
BEGIN
    WITH noted AS (
        INSERT INTO pgq_cancels (job_id, reason)
        SELECT j.id, p_reason
        FROM pgq_jobs AS j
        INNER JOIN pgq_job_states AS s ON s.id = j.id
        WHERE
            j.id = ANY(p_jobs)
            AND j.id <> ALL(coalesce(v_cancelled, '{}'))
            AND s.state IN ('running', 'ready', 'deferred', 'blocked')
        ORDER BY j.id
        ON CONFLICT (job_id) DO UPDATE SET reason = excluded.reason
        RETURNING pgq_cancels.job_id
    )

    SELECT array_agg(n.job_id) INTO v_requested FROM noted AS n;

    IF v_requested IS NOT NULL THEN
        PERFORM pg_notify(pgq_channel(0), 'cancel');
    END IF;

    RETURN QUERY
    SELECT
        u.id,
        CASE
            WHEN u.id = ANY(v_cancelled) THEN 'cancelled'
            WHEN u.id = ANY(v_requested) THEN 'requested'
            WHEN EXISTS (SELECT FROM pgq_jobs AS j WHERE j.id = u.id) THEN 'finished'
            ELSE 'unknown'
        END
    FROM unnest(p_jobs) AS u (id);
END
$$;

-- Put finished jobs back: attempts count on, what was spent is forgotten. Each is due p_apart seconds
-- after the one before it in p_jobs, or at once when that is 0. The body is locked, so that two
-- callers cannot both put the same job back and prune cannot delete it meanwhile; the state is read
-- afterwards with a new snapshot. Returns per job 'retried', 'running' (it waits or runs already),
-- 'held' (another job holds its unique key) or 'unknown'.
CREATE FUNCTION pgq_retry(p_jobs bigint [], p_apart double precision)
RETURNS TABLE (job_id bigint, verdict text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz;
    v_retried bigint [];
    v_held bigint [];
BEGIN
    PERFORM FROM pgq_jobs AS j
    WHERE j.id = ANY(p_jobs)
    ORDER BY j.id
    FOR NO KEY UPDATE;
    -- This transaction has its xid now: due times must lie behind the clock read here.
    v_now := clock_timestamp();

    WITH wanted AS MATERIALIZED (
        SELECT
            j.id, j.queue, j.entrypoint, j.priority, j.unique_key,
            pgq_kind(j.concurrency_key) AS kind,
            (SELECT max(a.attempt) FROM pgq_attempts AS a WHERE a.job_id = j.id) AS attempt,
            row_number() OVER (ORDER BY n.turn) AS turn
        FROM (
            SELECT u.id, min(u.turn) AS turn
            FROM unnest(p_jobs) WITH ORDINALITY AS u (id, turn)
            GROUP BY u.id
        ) AS n
        INNER JOIN pgq_jobs AS j ON j.id = n.id
        INNER JOIN pgq_job_states AS s ON s.id = j.id
        WHERE s.state IN ('failed', 'cancelled', 'succeeded')
    ),

    -- One job per key; its own key may still stand for the rest of its period.
    taken AS (
        INSERT INTO pgq_locks AS l (entrypoint, unique_key, job_id)
        SELECT DISTINCT ON (w.entrypoint COLLATE "C", w.unique_key COLLATE "C")
            w.entrypoint, w.unique_key, w.id
        FROM wanted AS w
        WHERE w.unique_key IS NOT NULL
        ORDER BY w.entrypoint COLLATE "C", w.unique_key COLLATE "C", w.turn
        ON CONFLICT (entrypoint, unique_key) DO UPDATE SET
            job_id = excluded.job_id,
            expires_at = CASE WHEN l.expires_at > clock_timestamp() THEN l.expires_at END
        WHERE l.job_id = excluded.job_id OR l.expires_at <= clock_timestamp()
        RETURNING l.job_id
    ),

    again AS MATERIALIZED (
        SELECT
            w.*, pgq_lane_id(w.queue, w.entrypoint, w.priority, w.kind) AS lane_id,
            v_now + (w.turn - 1) * p_apart * interval '1 second' AS due
        FROM wanted AS w
        WHERE w.unique_key IS NULL OR w.id IN (SELECT t.job_id FROM taken AS t)
    ),

    put AS (
        INSERT INTO pgq_ready (lane_id, position, job_id, attempt)
        SELECT g.lane_id, nextval('pgq_positions'), g.id, g.attempt
        FROM (SELECT * FROM again AS w WHERE w.due <= v_now ORDER BY w.turn) AS g
    ),

    later AS (
        INSERT INTO pgq_deferred (run_at, lane_id, job_id, attempt)
        SELECT g.due, g.lane_id, g.id, g.attempt FROM again AS g WHERE g.due > v_now
    ),

    lanes AS (
        INSERT INTO pgq_lanes (lane_id, priority, kind, queue, entrypoint)
        SELECT DISTINCT g.lane_id, g.priority, g.kind, g.queue, g.entrypoint
        FROM again AS g
        WHERE NOT EXISTS (SELECT FROM pgq_lanes AS l WHERE l.lane_id = g.lane_id)
    )

    SELECT
        (SELECT array_agg(g.id) FROM again AS g),
        (SELECT array_agg(w.id) FROM wanted AS w WHERE w.id NOT IN (SELECT g.id FROM again AS g))
    INTO v_retried, v_held;

    DELETE FROM pgq_cancels AS c WHERE c.job_id = ANY(v_retried);
    IF v_retried IS NOT NULL THEN
        PERFORM pgq_wake('');
    END IF;

    RETURN QUERY
    SELECT
        u.id,
        CASE
            WHEN u.id = ANY(v_retried) THEN 'retried'
            WHEN u.id = ANY(v_held) THEN 'held'
            WHEN EXISTS (SELECT FROM pgq_jobs AS j WHERE j.id = u.id) THEN 'running'
            ELSE 'unknown'
        END
    FROM unnest(p_jobs) AS u (id);
END
$$;

-- Delete finished jobs with their attempts: at most p_limit bodies with id > p_from are looked at,
-- in order. Locked bodies are left for the next time (SKIP LOCKED), and what was locked is judged
-- again with a new snapshot. An age that is NULL never comes. Returns the last id looked at (NULL:
-- at the end), how many went, and whether any body was enqueued long enough ago to go (if not, what
-- comes behind it is younger still).
CREATE FUNCTION pgq_prune(
    p_from bigint,
    p_limit integer,
    p_succeeded interval,
    p_failed interval,
    p_cancelled interval
)
RETURNS TABLE (last_id bigint, pruned integer, old boolean)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_youngest constant timestamptz := clock_timestamp() - least(p_succeeded, p_failed, p_cancelled);
    v_last bigint;
    v_ids bigint [];
    v_old boolean;
    v_locked bigint [];
    v_newest integer [];  -- of these, the attempts by which they were judged
    v_pruned integer;
BEGIN
    SELECT max(j.id), array_agg(j.id), bool_or(j.created_at < v_youngest)
    INTO v_last, v_ids, v_old
    FROM (
        SELECT b.id, b.created_at FROM pgq_jobs AS b
        WHERE b.id > p_from
        ORDER BY b.id
        LIMIT p_limit
    ) AS j;
    SELECT array_agg(k.id), array_agg(k.attempt) INTO v_locked, v_newest
    FROM (
        SELECT j.id, o.attempt
        FROM pgq_jobs AS j
        CROSS JOIN LATERAL (
            SELECT a.attempt, a.outcome, a.finished_at
            FROM pgq_attempts AS a
            WHERE a.job_id = j.id
            ORDER BY a.attempt DESC
            LIMIT 1
        ) AS o
        WHERE
            j.id = ANY(v_ids)
            AND o.finished_at < clock_timestamp() - CASE o.outcome
                WHEN 'succeeded' THEN p_succeeded
                WHEN 'failed' THEN p_failed
                WHEN 'cancelled' THEN p_cancelled
            END
        FOR UPDATE OF j SKIP LOCKED
    ) AS k;

    WITH gone AS (
        DELETE FROM pgq_jobs AS j
        USING unnest(v_locked, v_newest) AS k (id, attempt)
        WHERE
            j.id = k.id
            -- It may have been put back, and have ended once more, before it was locked.
            AND NOT EXISTS (
                SELECT FROM pgq_attempts AS a WHERE a.job_id = k.id AND a.attempt > k.attempt
            )
            AND NOT EXISTS (SELECT FROM pgq_ready AS r WHERE r.job_id = j.id)
            AND NOT EXISTS (SELECT FROM pgq_deferred AS d WHERE d.job_id = j.id)
            AND NOT EXISTS (SELECT FROM pgq_blocked AS b WHERE b.job_id = j.id)
            AND j.id NOT IN (SELECT unnest(l.job_ids) FROM pgq_leases AS l)
        RETURNING j.id
    ),

    history AS (
        DELETE FROM pgq_attempts AS a USING gone AS g WHERE a.job_id = g.id
    ),

    progress AS (
        DELETE FROM pgq_progress AS p USING gone AS g WHERE p.job_id = g.id
    )

    SELECT count(*) INTO v_pruned FROM gone;
    last_id := v_last;
    pruned := v_pruned;
    old := coalesce(v_old, FALSE);
    RETURN NEXT;
END
$$;

-- Delete batches whose jobs are gone: at most p_limit with a number > p_from are looked at, in order.
-- Returns the last one looked at (NULL: at the end) and how many went.
CREATE FUNCTION pgq_prune_batches(p_from bigint, p_limit integer)
RETURNS TABLE (last_id bigint, pruned integer)
LANGUAGE sql VOLATILE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
WITH seen AS MATERIALIZED (
    SELECT b.batch_id, b.job_ids FROM pgq_batches AS b
    WHERE b.batch_id > p_from
    ORDER BY b.batch_id
    LIMIT p_limit
),

gone AS (
    DELETE FROM pgq_batches AS b
    USING seen AS s
    WHERE
        b.batch_id = s.batch_id
        AND NOT EXISTS (SELECT FROM pgq_jobs AS j WHERE j.id = ANY(s.job_ids))
    RETURNING b.batch_id
)

SELECT
    (SELECT max(s.batch_id) FROM seen AS s),
    (SELECT count(*)::integer FROM gone)
$$;

-- Delete these jobs with their history, those that have ended and whose body nobody holds.
CREATE FUNCTION pgq_delete(p_jobs bigint [])
RETURNS integer LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_locked bigint [];
    v_deleted integer;
BEGIN
    SELECT array_agg(k.id) INTO v_locked
    FROM (
        SELECT j.id FROM pgq_jobs AS j WHERE j.id = ANY(p_jobs) FOR UPDATE SKIP LOCKED
    ) AS k;

    WITH gone AS (
        DELETE FROM pgq_jobs AS j
        USING pgq_job_states AS s
        WHERE
            s.id = j.id
            AND j.id = ANY(v_locked)
            AND s.state IN ('succeeded', 'failed', 'cancelled')
        RETURNING j.id
    ),

    history AS (
        DELETE FROM pgq_attempts AS a USING gone AS g WHERE a.job_id = g.id
    ),

    progress AS (
        DELETE FROM pgq_progress AS p USING gone AS g WHERE p.job_id = g.id
    )

    SELECT count(*) INTO v_deleted FROM gone;
    RETURN v_deleted;
END
$$;

-- Put failed jobs back, oldest first, each due p_seconds after the one before. Returns how many.
CREATE FUNCTION pgq_redrive(
    p_seconds double precision, p_entrypoint text, p_queue text, p_limit integer
)
RETURNS bigint LANGUAGE sql VOLATILE SET search_path FROM CURRENT AS $$
SELECT count(*) FILTER (WHERE r.verdict = 'retried')
FROM pgq_retry(ARRAY(
    SELECT s.id
    FROM pgq_job_states AS s
    WHERE
        s.id IN (SELECT a.job_id FROM pgq_attempts AS a WHERE a.outcome = 'failed')
        AND s.state = 'failed'
        AND (p_entrypoint IS NULL OR s.entrypoint = p_entrypoint)
        AND (p_queue IS NULL OR s.queue = p_queue)
    ORDER BY s.id
    LIMIT p_limit
), p_seconds) AS r
$$;
