-- Jobs that wait for others. An edge stands for a predecessor that has not ended. Nothing here waits
-- for a lock, so that no two who finish related jobs can block each other: what somebody else holds
-- right now, and what two transactions cannot see of each other, is left to the sweep, about a
-- second later.

-- Park new jobs behind the predecessors their bodies name. Those bodies are locked against pruning;
-- unknown ones and cycles are an error. Predecessors that have ended already are followed at once.
CREATE FUNCTION pgq_wait_for(p_jobs bigint [])
RETURNS void LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_after bigint [];
    v_known bigint [];
BEGIN
    SELECT array_agg(DISTINCT u.id) INTO v_after
    FROM pgq_jobs AS j
    CROSS JOIN LATERAL unnest(j.after) AS u (id)
    WHERE j.id = ANY(p_jobs);
    SELECT array_agg(k.id) INTO v_known FROM (
        SELECT j.id FROM pgq_jobs AS j WHERE j.id = ANY(v_after) ORDER BY j.id FOR KEY SHARE
    ) AS k;
    IF cardinality(v_after) > coalesce(cardinality(v_known), 0) THEN
        RAISE foreign_key_violation USING MESSAGE = format(
            'jobs to wait for do not exist: %s',
            ARRAY(SELECT unnest(v_after) EXCEPT SELECT unnest(v_known) ORDER BY 1)
        );
    END IF;
    PERFORM pgq_refuse_cycles(p_jobs);

    PERFORM setval('pgq_flow', 1) FROM pgq_flow AS f WHERE f.last_value = 0;
    INSERT INTO pgq_blocked (job_id, lane_id, position, entrypoint, scope)
    SELECT
        j.id, pgq_lane_id(j.queue, j.entrypoint, j.priority, pgq_kind(j.concurrency_key)),
        nextval('pgq_positions'), j.entrypoint, 'after'
    FROM (SELECT * FROM pgq_jobs AS b WHERE b.id = ANY(p_jobs) ORDER BY b.id) AS j;
    INSERT INTO pgq_edges (after_id, job_id)
    SELECT DISTINCT u.id, j.id
    FROM pgq_jobs AS j
    CROSS JOIN LATERAL unnest(j.after) AS u (id)
    WHERE j.id = ANY(p_jobs);

    PERFORM pgq_follow(pgq_ended(v_after));
    PERFORM pgq_settle(ARRAY(
        SELECT j.id FROM pgq_jobs AS j WHERE j.id = ANY(p_jobs) AND j.after = '{}'
    ), NULL);
END
$$;

-- Jobs can wait for each other in a circle only within one statement, and only if one of them names
-- a job that is not older than itself.
CREATE FUNCTION pgq_refuse_cycles(p_jobs bigint [])
RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_left bigint [] := p_jobs;
    v_stuck bigint [];
BEGIN
    IF NOT EXISTS (
        SELECT FROM pgq_jobs AS j
        CROSS JOIN LATERAL unnest(j.after) AS u (id)
        WHERE j.id = ANY(p_jobs) AND u.id >= j.id
    ) THEN
        RETURN;
    END IF;
    LOOP
        SELECT array_agg(j.id) INTO v_stuck
        FROM unnest(v_left) AS n (id)
        INNER JOIN pgq_jobs AS j ON j.id = n.id
        WHERE EXISTS (
            SELECT FROM unnest(j.after) AS u (id) INNER JOIN unnest(v_left) AS m (id) ON m.id = u.id
        );
        EXIT WHEN v_stuck IS NULL;
        IF cardinality(v_stuck) = cardinality(v_left) THEN
            RAISE invalid_parameter_value USING MESSAGE = format(
                'jobs wait for each other in a circle: %s', v_stuck
            );
        END IF;
        v_left := v_stuck;
    END LOOP;
END
$$;

-- Which of these jobs have their last outcome, or are gone.
CREATE FUNCTION pgq_ended(p_jobs bigint [])
RETURNS bigint [] LANGUAGE sql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
WITH over AS MATERIALIZED (
    SELECT u.id
    FROM unnest(p_jobs) AS u (id)
    LEFT JOIN LATERAL (
        SELECT a.outcome FROM pgq_attempts AS a
        WHERE a.job_id = u.id
        ORDER BY a.attempt DESC
        LIMIT 1
    ) AS o ON TRUE
    WHERE
        o.outcome IN ('succeeded', 'failed', 'cancelled')
        OR (
            o.outcome IS NULL
            AND NOT EXISTS (SELECT FROM pgq_jobs AS j WHERE j.id = u.id)
        )
)

SELECT array_agg(o.id)
FROM over AS o
LEFT JOIN pgq_job_states AS s ON s.id = o.id
WHERE s.id IS NULL OR s.state IN ('succeeded', 'failed', 'cancelled')
$$;

-- Whether one of these jobs ended badly. A job that was skipped did not.
CREATE FUNCTION pgq_failed_among(p_jobs bigint [])
RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
SELECT EXISTS (
    SELECT FROM unnest(p_jobs) AS u (id)
    CROSS JOIN LATERAL (
        SELECT a.outcome, a.error FROM pgq_attempts AS a
        WHERE a.job_id = u.id
        ORDER BY a.attempt DESC
        LIMIT 1
    ) AS o
    WHERE
        o.outcome IN ('failed', 'cancelled')
        AND o.error ->> 'type' IS DISTINCT FROM 'Skipped'
)
$$;

-- Jobs have ended: cut the edges behind them and settle their successors; those of them that end by
-- that are followed in turn.
CREATE FUNCTION pgq_follow(p_done bigint [])
RETURNS integer LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_done bigint [] := p_done;
    v_touched bigint [];
    v_failed bigint [];
    v_settled record;
    v_moved integer := 0;
BEGIN
    WHILE cardinality(v_done) > 0 LOOP
        WITH cut AS (
            DELETE FROM pgq_edges
            WHERE ctid = ANY(ARRAY(
                SELECT e.ctid FROM pgq_edges AS e
                WHERE e.after_id = ANY(v_done)
                FOR UPDATE SKIP LOCKED
            ))
            RETURNING after_id, job_id
        ),

        bad AS MATERIALIZED (
            SELECT d.after_id
            FROM (SELECT DISTINCT c.after_id FROM cut AS c) AS d
            CROSS JOIN LATERAL (
                SELECT a.outcome, a.error FROM pgq_attempts AS a
                WHERE a.job_id = d.after_id
                ORDER BY a.attempt DESC
                LIMIT 1
            ) AS o
            WHERE
                o.outcome IN ('failed', 'cancelled')
                AND o.error ->> 'type' IS DISTINCT FROM 'Skipped'
        )

        SELECT
            array_agg(DISTINCT c.job_id),
            array_agg(DISTINCT c.job_id) FILTER (WHERE b.after_id IS NOT NULL)
        INTO v_touched, v_failed
        FROM cut AS c
        LEFT JOIN bad AS b USING (after_id);

        EXIT WHEN v_touched IS NULL;
        SELECT s.ended, s.moved INTO v_settled FROM pgq_settle(v_touched, v_failed) AS s;
        v_moved := v_moved + v_settled.moved;
        v_done := v_settled.ended;
    END LOOP;
    RETURN v_moved;
END
$$;

-- Decide about blocked jobs. One that waits for nothing any more becomes ready, or ends, as its
-- on_failure says: run, whatever happened; cancel or skip, when a predecessor failed; only, when none
-- did. At the first failure (p_failed: jobs that have just seen one) it does so without waiting for
-- the rest, unless it is to run in any case. Returns those that ended, and how many became ready.
CREATE FUNCTION pgq_settle(
    p_jobs bigint [], p_failed bigint [], OUT ended bigint [], OUT moved integer
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_now timestamptz;
    v_jobs bigint [];
    v_runs boolean [];
BEGIN
    moved := 0;
    WITH fate AS (
        SELECT
            b.job_id,
            coalesce(j.on_failure, 'cancel') AS policy,
            n.id IS NOT NULL AS failed,
            j.after,
            EXISTS (SELECT FROM pgq_edges AS e WHERE e.job_id = b.job_id) AS waits
        FROM pgq_blocked AS b
        INNER JOIN pgq_jobs AS j ON j.id = b.job_id
        LEFT JOIN unnest(p_failed) AS n (id) ON n.id = b.job_id
        WHERE b.job_id = ANY(p_jobs) AND b.scope = 'after'
    ),

    verdict AS MATERIALIZED (
        SELECT
            f.job_id,
            f.policy = 'run' OR (
                (f.failed OR (NOT f.waits AND pgq_failed_among(f.after))) = (f.policy = 'only')
            ) AS runs
        FROM fate AS f
        WHERE NOT f.waits OR (f.failed AND f.policy <> 'run')
    )

    SELECT array_agg(v.job_id), array_agg(v.runs) INTO v_jobs, v_runs
    FROM verdict AS v
    CROSS JOIN LATERAL (
        SELECT FROM pgq_blocked AS b WHERE b.job_id = v.job_id FOR UPDATE SKIP LOCKED
    ) AS k;
    IF v_jobs IS NULL THEN
        RETURN;
    END IF;

    -- This transaction has its xid now: a due time must lie behind the clock read here.
    v_now := clock_timestamp();
    WITH gone AS (
        DELETE FROM pgq_blocked AS b WHERE b.job_id = ANY(v_jobs)
        RETURNING b.*
    ),

    fate AS MATERIALIZED (
        SELECT g.*, v.runs, j.run_at, j.on_failure
        FROM gone AS g
        INNER JOIN unnest(v_jobs, v_runs) AS v (id, runs) ON v.id = g.job_id
        INNER JOIN pgq_jobs AS j ON j.id = g.job_id
    ),

    written AS (
        INSERT INTO pgq_attempts (job_id, attempt, outcome, finished_at, error)
        SELECT
            f.job_id, f.attempt + 1, 'cancelled', v_now, CASE f.on_failure
                WHEN 'only' THEN
                    '{"type": "Skipped", "message": "no job it watches failed"}'::jsonb
                WHEN 'skip' THEN
                    '{"type": "Skipped", "message": "a job it waits for failed"}'::jsonb
                ELSE
                    '{"type": "PredecessorFailed", "message": "a job it waits for failed"}'::jsonb
            END
        FROM fate AS f
        WHERE NOT f.runs
        ON CONFLICT DO NOTHING
    ),

    later AS (
        INSERT INTO pgq_deferred (run_at, lane_id, job_id, attempt, spent, crashes)
        SELECT f.run_at, f.lane_id, f.job_id, f.attempt, f.spent, f.crashes
        FROM fate AS f
        WHERE f.runs AND f.run_at > v_now
    ),

    put AS (
        INSERT INTO pgq_ready (lane_id, position, job_id, attempt, spent, crashes)
        SELECT o.lane_id, nextval('pgq_positions'), o.job_id, o.attempt, o.spent, o.crashes
        FROM (
            SELECT * FROM fate AS f
            WHERE f.runs AND (f.run_at IS NULL OR f.run_at <= v_now)
            ORDER BY f.position
        ) AS o
    )

    SELECT
        array_agg(f.job_id) FILTER (WHERE NOT f.runs), count(*) FILTER (WHERE f.runs)
    INTO ended, moved
    FROM fate AS f;

    DELETE FROM pgq_edges
    WHERE ctid = ANY(ARRAY(
        SELECT e.ctid FROM pgq_edges AS e
        WHERE e.job_id = ANY(v_jobs)
        FOR UPDATE SKIP LOCKED
    ));
    DELETE FROM pgq_locks AS l WHERE l.job_id = ANY(ended) AND l.expires_at IS NULL;
    IF moved > 0 THEN
        PERFORM pgq_wake('');
    END IF;
END
$$;

-- What hand-over and following left undone: free places that somebody waits for, jobs whose
-- predecessors have ended meanwhile. A slice at a time, from where p_place (the answer of the call
-- before) says; nothing when somebody swept in the last p_apart milliseconds. Returns the next place
-- and how many jobs it set going.
CREATE FUNCTION pgq_sweep(p_place jsonb, p_apart integer)
RETURNS jsonb LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_now bigint := pgq_now_ms();
    v_slice constant integer := 5000;
    v_swept bigint;
    v_entrypoint text;
    v_scope text;
    v_row record;
    v_found integer;
    v_after bigint;
    v_job bigint;
    v_ended bigint [];
    v_alone bigint [];
    v_settled record;
    v_moved integer := 0;
BEGIN
    SELECT s.last_value INTO v_swept FROM pgq_swept AS s;
    IF v_swept > v_now - p_apart AND v_swept <= v_now THEN
        RETURN jsonb_build_object('place', p_place, 'moved', 0);
    END IF;
    PERFORM setval('pgq_swept', v_now);

    -- Every key that somebody waits for, by jumps over the index.
    FOR v_row IN
        WITH RECURSIVE scopes AS (
            (
                SELECT b.entrypoint, b.scope, 1 AS number FROM pgq_blocked AS b
                WHERE
                    b.scope <> 'after'
                    AND (b.entrypoint, b.scope)
                    > (coalesce(p_place ->> 'entrypoint', ''), coalesce(p_place ->> 'scope', ''))
                ORDER BY b.entrypoint, b.scope
                LIMIT 1
            )
            UNION ALL
            SELECT n.entrypoint, n.scope, s.number + 1
            FROM scopes AS s
            CROSS JOIN LATERAL (
                SELECT b.entrypoint, b.scope FROM pgq_blocked AS b
                WHERE b.scope <> 'after' AND (b.entrypoint, b.scope) > (s.entrypoint, s.scope)
                ORDER BY b.entrypoint, b.scope
                LIMIT 1
            ) AS n
            WHERE s.number < v_slice
        )

        SELECT
            s.entrypoint,
            count(*) AS number,
            max(s.scope) AS last_scope,
            array_agg(s.scope) FILTER (WHERE (
                SELECT count(*) FROM pgq_holders AS h
                WHERE h.entrypoint = s.entrypoint AND h.scope = s.scope
            ) < coalesce(
                (SELECT l.concurrency FROM pgq_limits AS l WHERE l.entrypoint = s.entrypoint), 1
            )) AS free
        FROM scopes AS s
        GROUP BY s.entrypoint
        ORDER BY s.entrypoint
    LOOP
        v_found := coalesce(v_found, 0) + v_row.number;
        v_entrypoint := v_row.entrypoint;
        v_scope := v_row.last_scope;
        IF v_row.free IS NOT NULL AND pg_try_advisory_xact_lock(pgq_limit_key(v_row.entrypoint)) THEN
            v_moved := v_moved + pgq_hand_over(
                array_fill(v_row.entrypoint, ARRAY[cardinality(v_row.free)]), v_row.free
            );
        END IF;
    END LOOP;
    IF coalesce(v_found, 0) < v_slice THEN
        v_entrypoint := NULL;
        v_scope := NULL;
    END IF;

    -- Predecessors that ended while the edge behind them was not committed yet.
    WITH RECURSIVE steps AS (
        (
            SELECT e.after_id, 1 AS number FROM pgq_edges AS e
            WHERE e.after_id > coalesce((p_place ->> 'after')::bigint, 0)
            ORDER BY e.after_id
            LIMIT 1
        )
        UNION ALL
        SELECT n.after_id, s.number + 1
        FROM steps AS s
        CROSS JOIN LATERAL (
            SELECT e.after_id FROM pgq_edges AS e
            WHERE e.after_id > s.after_id
            ORDER BY e.after_id
            LIMIT 1
        ) AS n
        WHERE s.number < v_slice
    )

    SELECT
        CASE WHEN count(*) = v_slice THEN max(s.after_id) END, pgq_ended(array_agg(s.after_id))
    INTO v_after, v_ended
    FROM steps AS s;
    v_moved := v_moved + pgq_follow(v_ended);

    -- Jobs whose last two predecessors ended in transactions that did not see each other.
    WITH waiting AS (
        SELECT b.job_id FROM pgq_blocked AS b
        WHERE b.scope = 'after' AND b.job_id > coalesce((p_place ->> 'job')::bigint, 0)
        ORDER BY b.job_id
        LIMIT v_slice
    )

    SELECT
        CASE WHEN count(*) = v_slice THEN max(w.job_id) END,
        array_agg(w.job_id) FILTER (
            WHERE NOT EXISTS (SELECT FROM pgq_edges AS e WHERE e.job_id = w.job_id)
        )
    INTO v_job, v_alone
    FROM waiting AS w;
    SELECT s.ended, s.moved INTO v_settled FROM pgq_settle(v_alone, NULL) AS s;
    v_moved := v_moved + v_settled.moved + pgq_follow(v_settled.ended);

    RETURN jsonb_build_object(
        'place', jsonb_build_object(
            'entrypoint', v_entrypoint, 'scope', v_scope, 'after', v_after, 'job', v_job
        ),
        'moved', v_moved
    );
END
$$;
