-- Jobs that wait for others. An edge stands for one unfinished predecessor.

-- Park a new job behind its predecessors. Their bodies are locked against pruning; unknown ones are
-- an error. Those that have ended already are followed at once.
CREATE FUNCTION pgq_wait_for(
    p_job bigint, p_after bigint [], p_queue text, p_entrypoint text, p_priority smallint, p_key text
)
RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_known bigint [];
BEGIN
    SELECT array_agg(k.id) INTO v_known FROM (
        SELECT j.id FROM pgq_jobs AS j WHERE j.id = ANY(p_after) FOR KEY SHARE
    ) AS k;
    IF NOT p_after <@ coalesce(v_known, '{}') OR p_job = ANY(p_after) THEN
        RAISE foreign_key_violation USING MESSAGE = format(
            'job %s waits for %s, but only %s exist', p_job, p_after, coalesce(v_known, '{}')
        );
    END IF;
    PERFORM setval('pgq_flow', 1) FROM pgq_flow AS f WHERE f.last_value = 0;
    INSERT INTO pgq_blocked (job_id, lane_id, position, entrypoint, scope)
    VALUES (
        p_job, pgq_lane_id(p_queue, p_entrypoint, p_priority, pgq_kind(p_key)),
        nextval('pgq_positions'), p_entrypoint, 'after'
    );
    INSERT INTO pgq_edges (after_id, job_id)
    SELECT DISTINCT a.id, p_job FROM unnest(p_after) AS a (id);
    PERFORM pgq_follow(ARRAY(
        SELECT s.id FROM pgq_job_states AS s
        WHERE s.id = ANY(p_after) AND s.state IN ('succeeded', 'failed', 'cancelled')
    ));
END
$$;

-- Jobs have ended: their successors with nothing left to wait for become ready; where one failed and
-- the successor does not want to run then, it is cancelled, and its own successors in turn. One that
-- wants to run *only* then becomes ready at the first failure, and is skipped when none failed.
CREATE FUNCTION pgq_follow(p_done bigint [])
RETURNS void LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_done bigint [] := p_done;
    v_touched bigint [];
    v_ended bigint [];
    v_wanted bigint [];
    v_moved bigint;
BEGIN
    WHILE cardinality(v_done) > 0 LOOP
        WITH cut AS (
            DELETE FROM pgq_edges AS e WHERE e.after_id = ANY(v_done)
            RETURNING e.after_id, e.job_id
        ),

        failing AS (
            SELECT DISTINCT c.job_id, coalesce(j.on_failure, 'cancel') AS on_failure
            FROM cut AS c
            INNER JOIN pgq_jobs AS j ON j.id = c.job_id
            CROSS JOIN LATERAL (
                SELECT a.outcome, a.error FROM pgq_attempts AS a
                WHERE a.job_id = c.after_id
                ORDER BY a.attempt DESC
                LIMIT 1
            ) AS o
            WHERE
                coalesce(j.on_failure, 'cancel') <> 'run'
                AND o.outcome IN ('failed', 'cancelled')
                AND o.error ->> 'type' IS DISTINCT FROM 'Skipped'
        ),

        gone AS (
            DELETE FROM pgq_blocked AS b USING failing AS f
            WHERE b.job_id = f.job_id AND b.scope = 'after' AND f.on_failure <> 'only'
            RETURNING b.job_id, b.attempt, f.on_failure
        ),

        written AS (
            INSERT INTO pgq_attempts (job_id, attempt, outcome, finished_at, error)
            SELECT
                g.job_id, g.attempt + 1, 'cancelled', clock_timestamp(), jsonb_build_object(
                    'type', CASE g.on_failure WHEN 'skip' THEN 'Skipped' ELSE 'PredecessorFailed' END,
                    'message', 'a job it waits for failed or was cancelled'
                )
            FROM gone AS g
            ON CONFLICT DO NOTHING
        )

        SELECT
            (SELECT array_agg(DISTINCT c.job_id) FROM cut AS c),
            (SELECT array_agg(g.job_id) FROM gone AS g),
            (SELECT array_agg(f.job_id) FROM failing AS f WHERE f.on_failure = 'only')
        INTO v_touched, v_ended, v_wanted;

        DELETE FROM pgq_edges AS e WHERE e.job_id = ANY(v_ended) OR e.job_id = ANY(v_wanted);
        v_ended := v_ended || pgq_skip(v_touched, v_wanted);
        DELETE FROM pgq_locks AS l WHERE l.job_id = ANY(v_ended) AND l.expires_at IS NULL;
        v_moved := coalesce(v_moved, 0) + pgq_unblock(v_touched);
        v_done := v_ended;
    END LOOP;
    IF v_moved > 0 THEN
        PERFORM pgq_wake('');
    END IF;
END
$$;

-- End those of p_jobs that were to run only after a failure, and saw none.
CREATE FUNCTION pgq_skip(p_jobs bigint [], p_wanted bigint [])
RETURNS bigint [] LANGUAGE sql VOLATILE
SET search_path FROM CURRENT
SET enable_seqscan = off
AS $$
WITH gone AS (
    DELETE FROM pgq_blocked AS b
    USING pgq_jobs AS j
    WHERE
        b.job_id = ANY(p_jobs)
        AND b.job_id <> ALL(coalesce(p_wanted, '{}'))
        AND j.id = b.job_id
        AND j.on_failure = 'only'
        AND b.scope = 'after'
        AND NOT EXISTS (SELECT FROM pgq_edges AS e WHERE e.job_id = b.job_id)
    RETURNING b.job_id, b.attempt
),

written AS (
    INSERT INTO pgq_attempts (job_id, attempt, outcome, finished_at, error)
    SELECT
        g.job_id, g.attempt + 1, 'cancelled', clock_timestamp(),
        jsonb_build_object('type', 'Skipped', 'message', 'no job it watches failed')
    FROM gone AS g
    ON CONFLICT DO NOTHING
)

SELECT array_agg(g.job_id) FROM gone AS g
$$;

-- Move those of p_jobs that wait for nothing any more to their lanes.
CREATE FUNCTION pgq_unblock(p_jobs bigint [])
RETURNS integer LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_now timestamptz;
    v_jobs bigint [];
BEGIN
    SELECT array_agg(f.job_id) INTO v_jobs FROM (
        SELECT b.job_id FROM pgq_blocked AS b
        WHERE
            b.job_id = ANY(p_jobs)
            AND b.scope = 'after'
            AND NOT EXISTS (SELECT FROM pgq_edges AS e WHERE e.job_id = b.job_id)
        FOR UPDATE SKIP LOCKED
    ) AS f;
    v_now := clock_timestamp();
    WITH gone AS (
        DELETE FROM pgq_blocked AS b WHERE b.job_id = ANY(v_jobs)
        RETURNING b.*
    ),

    free AS MATERIALIZED (
        SELECT g.*, j.run_at FROM gone AS g INNER JOIN pgq_jobs AS j ON j.id = g.job_id
    ),

    later AS (
        INSERT INTO pgq_deferred (run_at, lane_id, job_id, attempt, spent, crashes)
        SELECT f.run_at, f.lane_id, f.job_id, f.attempt, f.spent, f.crashes
        FROM free AS f
        WHERE f.run_at > v_now
    )

    INSERT INTO pgq_ready (lane_id, position, job_id, attempt, spent, crashes)
    SELECT o.lane_id, nextval('pgq_positions'), o.job_id, o.attempt, o.spent, o.crashes
    FROM (
        SELECT * FROM free AS f WHERE f.run_at IS NULL OR f.run_at <= v_now ORDER BY f.position
    ) AS o;
    RETURN coalesce(cardinality(v_jobs), 0);
END
$$;

-- What hand-over and following may have missed: keys with a free place and somebody waiting; places
-- of jobs that are no longer alive; jobs blocked behind others that have ended meanwhile.
CREATE FUNCTION pgq_sweep()
RETURNS void LANGUAGE plpgsql
SET search_path FROM CURRENT
SET jit = off
AS $$
DECLARE
    v_scope record;
BEGIN
    DELETE FROM pgq_holders AS h
    WHERE EXISTS (
        SELECT FROM pgq_job_states AS s
        WHERE s.id = h.job_id AND s.state IN ('succeeded', 'failed', 'cancelled')
    ) OR NOT EXISTS (SELECT FROM pgq_jobs AS j WHERE j.id = h.job_id);

    FOR v_scope IN
        SELECT b.entrypoint, array_agg(DISTINCT b.scope) AS scopes
        FROM pgq_blocked AS b
        WHERE
            b.scope <> 'after'
            AND (
                SELECT count(*) FROM pgq_holders AS h
                WHERE h.entrypoint = b.entrypoint AND h.scope = b.scope
            ) < coalesce(
                (SELECT l.concurrency FROM pgq_limits AS l WHERE l.entrypoint = b.entrypoint), 1
            )
        GROUP BY b.entrypoint
        ORDER BY pgq_limit_key(b.entrypoint)
    LOOP
        IF pg_try_advisory_xact_lock(pgq_limit_key(v_scope.entrypoint)) THEN
            PERFORM pgq_hand_over(
                array_fill(v_scope.entrypoint, ARRAY[cardinality(v_scope.scopes)]), v_scope.scopes
            );
        END IF;
    END LOOP;

    IF (SELECT f.last_value FROM pgq_flow AS f) > 0 THEN
        PERFORM pgq_follow(ARRAY(
            SELECT s.id FROM (SELECT DISTINCT e.after_id FROM pgq_edges AS e) AS w
            INNER JOIN pgq_job_states AS s ON s.id = w.after_id
            WHERE s.state IN ('succeeded', 'failed', 'cancelled')
            LIMIT 1000
        ));
        PERFORM pgq_unblock(ARRAY(
            SELECT b.job_id FROM pgq_blocked AS b
            WHERE b.scope = 'after'
                AND NOT EXISTS (SELECT FROM pgq_edges AS e WHERE e.job_id = b.job_id)
            LIMIT 1000
        ));
    END IF;
END
$$;
