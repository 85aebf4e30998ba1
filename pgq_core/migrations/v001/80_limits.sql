-- Limits and keys. A job under a limit or with a key is claimed here, one claimer per entrypoint at a
-- time, so that counting places and taking them is one act. A loser of a busy key is parked once in
-- pgq_blocked, and handed the place when it is free: nobody scans it again meanwhile.

CREATE FUNCTION pgq_limit_key(p_entrypoint text)
RETURNS bigint LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
SELECT hashtextextended('pgq limit ' || current_schema() || ' ' || p_entrypoint, 0)
$$;

-- Give free places of busy keys to those who wait longest. The caller holds the entrypoints' locks.
-- A job that is handed a place goes to the lane 'next', which is served before its fellows.
CREATE FUNCTION pgq_hand_over(p_entrypoints text [], p_scopes text [])
RETURNS integer LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_moved integer;
BEGIN
    WITH scopes AS (
        SELECT DISTINCT s.entrypoint, s.scope
        FROM unnest(p_entrypoints, p_scopes) AS s (entrypoint, scope)
    ),

    winners AS MATERIALIZED (
        SELECT w.job_id
        FROM scopes AS s
        CROSS JOIN LATERAL (
            SELECT greatest(0, coalesce(
                (SELECT l.concurrency FROM pgq_limits AS l WHERE l.entrypoint = s.entrypoint), 1
            ) - count(*)) AS places
            FROM pgq_holders AS h
            WHERE h.entrypoint = s.entrypoint AND h.scope = s.scope
        ) AS free
        CROSS JOIN LATERAL (
            SELECT b.job_id
            FROM pgq_blocked AS b
            WHERE b.entrypoint = s.entrypoint AND b.scope = s.scope AND b.scope <> 'after'
            ORDER BY b.position
            LIMIT free.places
            FOR UPDATE SKIP LOCKED
        ) AS w
    ),

    gone AS (
        DELETE FROM pgq_blocked AS b USING winners AS w WHERE b.job_id = w.job_id
        RETURNING b.*
    ),

    held AS (
        INSERT INTO pgq_holders (job_id, entrypoint, scope)
        SELECT g.job_id, g.entrypoint, g.scope FROM gone AS g
        ON CONFLICT DO NOTHING
    ),

    home AS (
        SELECT
            g.job_id, g.position, g.attempt, g.spent, g.crashes, j.queue, j.entrypoint, j.priority,
            pgq_lane_id(j.queue, j.entrypoint, j.priority, 'next') AS lane_id
        FROM gone AS g
        INNER JOIN pgq_jobs AS j ON j.id = g.job_id
    ),

    lanes AS (
        INSERT INTO pgq_lanes (lane_id, priority, kind, queue, entrypoint)
        SELECT DISTINCT h.lane_id, h.priority, 'next', h.queue, h.entrypoint
        FROM home AS h
        WHERE NOT EXISTS (SELECT FROM pgq_lanes AS l WHERE l.lane_id = h.lane_id)
    )

    INSERT INTO pgq_ready (lane_id, position, job_id, attempt, spent, crashes)
    SELECT o.lane_id, nextval('pgq_positions'), o.job_id, o.attempt, o.spent, o.crashes
    FROM (SELECT * FROM home AS h ORDER BY h.position) AS o;
    GET DIAGNOSTICS v_moved = ROW_COUNT;
    IF v_moved > 0 THEN
        PERFORM pgq_wake('');
    END IF;
    RETURN v_moved;
END
$$;

-- Free the places of jobs whose attempt ended: always under a limit; under a key only at the job's
-- end, since a retry keeps its key. Locks first, in order; then a new snapshot.
CREATE FUNCTION pgq_release(p_jobs bigint [])
RETURNS void LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_entrypoints text [];
    v_scopes text [];
BEGIN
    PERFORM pg_advisory_xact_lock(k.key)
    FROM (
        SELECT DISTINCT pgq_limit_key(h.entrypoint) AS key
        FROM pgq_holders AS h
        WHERE h.job_id = ANY(p_jobs)
        ORDER BY 1
    ) AS k;

    WITH freed AS (
        DELETE FROM pgq_holders AS h
        WHERE
            h.job_id = ANY(p_jobs)
            AND (
                h.scope = 'limit'
                OR (
                    SELECT a.outcome FROM pgq_attempts AS a
                    WHERE a.job_id = h.job_id
                    ORDER BY a.attempt DESC
                    LIMIT 1
                ) IN ('succeeded', 'failed', 'cancelled')
            )
        RETURNING h.entrypoint, h.scope
    )

    SELECT array_agg(f.entrypoint), array_agg(f.scope) INTO v_entrypoints, v_scopes FROM freed AS f;
    IF v_entrypoints IS NOT NULL THEN
        PERFORM pgq_hand_over(v_entrypoints, v_scopes);
    END IF;
END
$$;

-- How many starts a rate allows now, at most p_wanted, and books them: even spacing of
-- period / rate seconds, of which `burst` may come at once (the generic cell rate algorithm,
-- ITU-T I.371). p_wait: seconds until the next start is allowed.
CREATE FUNCTION pgq_grant(
    p_limit pgq_limits, p_scope text, p_wanted integer, OUT granted integer, OUT wait double precision
)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_step interval := p_limit.period / p_limit.rate * interval '1 second';
    v_next timestamptz;
BEGIN
    SELECT greatest(r.next_at, v_now) INTO v_next FROM pgq_rates AS r
    WHERE r.entrypoint = p_limit.entrypoint AND r.scope = p_scope;
    v_next := coalesce(v_next, v_now);
    granted := greatest(0, least(p_wanted, 1 + floor(
        extract(EPOCH FROM v_now + (p_limit.burst - 1) * v_step - v_next)
        / extract(EPOCH FROM v_step)
    )))::integer;
    v_next := v_next + granted * v_step;
    wait := greatest(0, extract(EPOCH FROM v_next - (p_limit.burst - 1) * v_step - v_now));
    IF granted > 0 THEN
        INSERT INTO pgq_rates (entrypoint, scope, next_at)
        VALUES (p_limit.entrypoint, p_scope, v_next)
        ON CONFLICT (entrypoint, scope) DO UPDATE SET next_at = excluded.next_at;
    END IF;
END
$$;

-- Park or take the jobs of one keyed lane: fills p_take with rows to claim, moves the losers.
CREATE FUNCTION pgq_sort_keyed(
    p_lane bigint, p_limit pgq_limits, p_count integer, OUT take tid [], OUT losers integer
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_park tid [];
BEGIN
    WITH candidate AS MATERIALIZED (
        SELECT r.ctid AS place, r.job_id, r.position
        FROM pgq_ready AS r
        WHERE r.lane_id = p_lane
        ORDER BY r.position
        LIMIT 500
        FOR UPDATE SKIP LOCKED
    ),

    scoped AS MATERIALIZED (
        SELECT
            c.*,
            'key:' || j.concurrency_key AS scope,
            EXISTS (SELECT FROM pgq_holders AS h WHERE h.job_id = c.job_id) AS held
        FROM candidate AS c
        CROSS JOIN LATERAL (
            SELECT b.concurrency_key FROM pgq_jobs AS b WHERE b.id = c.job_id OFFSET 0
        ) AS j
    ),

    places AS (
        SELECT s.scope, coalesce(p_limit.concurrency, 1) - (
            SELECT count(*) FROM pgq_holders AS h
            WHERE h.entrypoint = p_limit.entrypoint AND h.scope = s.scope
        ) AS free
        FROM scoped AS s
        GROUP BY s.scope
    ),

    ranked AS (
        SELECT
            s.place,
            s.position,
            s.held OR row_number() OVER (PARTITION BY s.scope, s.held ORDER BY s.position) <= p.free
                AS wins
        FROM scoped AS s
        INNER JOIN places AS p USING (scope)
    )

    SELECT
        (array_agg(r.place ORDER BY r.position) FILTER (WHERE r.wins)) [1:p_count],
        array_agg(r.place) FILTER (WHERE NOT r.wins)
    INTO take, v_park
    FROM ranked AS r;

    WITH gone AS (
        DELETE FROM pgq_ready AS r WHERE r.ctid = ANY(v_park)
        RETURNING r.*
    )

    INSERT INTO pgq_blocked (
        job_id, lane_id, position, attempt, spent, crashes, entrypoint, scope
    )
    SELECT
        g.job_id, g.lane_id, g.position, g.attempt, g.spent, g.crashes, p_limit.entrypoint,
        'key:' || j.concurrency_key
    FROM gone AS g
    INNER JOIN pgq_jobs AS j ON j.id = g.job_id;
    GET DIAGNOSTICS losers = ROW_COUNT;
END
$$;

-- Claim jobs of limited and keyed lanes, in the order given; rows and status as pgq_claim returns
-- them. Every claim is flushed before its handlers start: a limit must hold across a crash.
-- Status: busy (another claimer is at an entrypoint right now), wait (seconds until a rate allows
-- the next start).
CREATE FUNCTION pgq_claim_limited(
    p_worker bigint,
    p_token bigint,
    p_count integer,
    p_lanes bigint [],
    p_kinds text [],
    p_entrypoints text [],
    p_caps smallint []
)
RETURNS TABLE (
    status jsonb,
    lease_id bigint,
    lane_id bigint,
    "position" bigint,
    attempt integer,
    spent smallint,
    crashes smallint,
    cap smallint,
    job_id bigint,
    created_at timestamptz,
    run_at timestamptz,
    timeout double precision,
    priority smallint,
    max_attempts smallint,
    queue text,
    entrypoint text,
    unique_key text,
    concurrency_key text,
    headers jsonb,
    payload bytea
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_lane record;
    v_limit pgq_limits;
    v_left integer := p_count;
    v_take tid [] := '{}';
    v_more tid [];
    v_losers integer;
    v_free integer;
    v_busy boolean := FALSE;
    v_wait double precision;
    v_grant record;
BEGIN
    FOR v_lane IN
        SELECT n.* FROM unnest(p_lanes, p_kinds, p_entrypoints) AS n (id, kind, entrypoint)
    LOOP
        EXIT WHEN v_left <= 0;
        IF NOT pg_try_advisory_xact_lock(pgq_limit_key(v_lane.entrypoint)) THEN
            v_busy := TRUE;
            CONTINUE;
        END IF;
        SELECT * INTO v_limit FROM pgq_limits AS l WHERE l.entrypoint = v_lane.entrypoint;
        v_limit.entrypoint := v_lane.entrypoint;

        IF v_lane.kind = 'plain' THEN
            SELECT count(*) INTO v_free FROM (
                SELECT FROM pgq_ready AS r WHERE r.lane_id = v_lane.id LIMIT v_left
            ) AS waiting;
            IF v_limit.concurrency IS NOT NULL THEN
                v_free := least(v_free, v_limit.concurrency - (
                    SELECT count(*) FROM pgq_holders AS h
                    WHERE h.entrypoint = v_lane.entrypoint AND h.scope = 'limit'
                ));
            END IF;
            IF v_limit.rate IS NOT NULL AND v_free > 0 THEN
                v_grant := pgq_grant(v_limit, 'limit', v_free);
                v_free := v_grant.granted;
                v_wait := least(v_wait, v_grant.wait);
            END IF;
            SELECT array_agg(t.place) INTO v_more FROM (
                SELECT r.ctid AS place FROM pgq_ready AS r
                WHERE r.lane_id = v_lane.id
                ORDER BY r.position
                LIMIT greatest(0, v_free)
                FOR UPDATE SKIP LOCKED
            ) AS t;
            v_take := v_take || coalesce(v_more, '{}');
            v_left := v_left - coalesce(cardinality(v_more), 0);
        ELSE
            -- A busy key at the head: park it and look behind it, within reason.
            FOR i IN 1..8 LOOP
                SELECT s.take, s.losers INTO v_more, v_losers
                FROM pgq_sort_keyed(v_lane.id, v_limit, v_left) AS s;
                EXIT WHEN v_more IS NOT NULL OR v_losers = 0;
            END LOOP;
            IF v_limit.rate IS NOT NULL AND v_more IS NOT NULL THEN
                v_grant := pgq_grant(v_limit, 'limit', cardinality(v_more));
                v_more := v_more[1:v_grant.granted];
                v_wait := least(v_wait, v_grant.wait);
            END IF;
            v_take := v_take || coalesce(v_more, '{}');
            v_left := v_left - coalesce(cardinality(v_more), 0);
        END IF;
    END LOOP;

    RETURN QUERY
    WITH took AS (
        DELETE FROM pgq_ready AS y
        WHERE y.ctid = ANY(v_take)
        RETURNING y.lane_id, y.position, y.job_id, y.attempt, y.spent, y.crashes
    ),

    body AS MATERIALIZED (
        SELECT
            t.lane_id, t.position, t.attempt + 1 AS attempt, t.spent, t.crashes, j.*,
            coalesce(j.max_attempts, p_caps[array_position(p_lanes, t.lane_id)]) AS cap
        FROM took AS t
        CROSS JOIN LATERAL (
            SELECT b.* FROM pgq_jobs AS b WHERE b.id = t.job_id OFFSET 0
        ) AS j
    ),

    held AS (
        INSERT INTO pgq_holders (job_id, entrypoint, scope)
        SELECT
            b.id, b.entrypoint,
            CASE WHEN b.concurrency_key IS NULL THEN 'limit' ELSE 'key:' || b.concurrency_key END
        FROM body AS b
        ON CONFLICT DO NOTHING
    ),

    unlocked AS (
        DELETE FROM pgq_locks AS k USING body AS b
        WHERE k.job_id = b.id AND b.unique_while = 'waiting' AND k.expires_at IS NULL
    ),

    batch AS MATERIALIZED (
        SELECT
            nextval('pgq_lease_ids') AS lease_id, array_agg(b.id) AS job_ids,
            array_agg(b.attempt) AS attempts, array_agg(b.spent) AS spent,
            array_agg(b.crashes) AS crashes, array_agg(b.cap) AS caps
        FROM body AS b
        HAVING count(*) > 0
    ),

    lease AS (
        INSERT INTO pgq_leases (
            worker_id, lease_id, token, claimed_at, job_ids, attempts, spent, crashes, caps
        )
        SELECT
            p_worker, c.lease_id, p_token, clock_timestamp(), c.job_ids, c.attempts, c.spent,
            c.crashes, c.caps
        FROM batch AS c
    )

    SELECT
        NULL::jsonb, c.lease_id, b.lane_id, b.position, b.attempt, b.spent, b.crashes, b.cap,
        b.id, b.created_at, b.run_at, b.timeout, b.priority, b.max_attempts, b.queue,
        b.entrypoint, b.unique_key, b.concurrency_key, b.headers, b.payload
    FROM body AS b
    CROSS JOIN batch AS c
    ORDER BY b.priority, b.position;

    status := jsonb_build_object('busy', v_busy, 'wait', v_wait);
    RETURN NEXT;
END
$$;
