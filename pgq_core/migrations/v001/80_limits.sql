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

-- Free the places of jobs whose attempt ended: under a key only at the job's end, since a retry keeps
-- its key; under a limit always, but for a suspect that goes back to run alone, where no limit is
-- looked at. Locks first, in order; then a new snapshot.
CREATE FUNCTION pgq_release(p_jobs bigint [])
RETURNS void LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_entrypoints text [];
    v_scopes text [];
    v_limited text [];
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
            AND CASE
                WHEN (
                    SELECT a.outcome FROM pgq_attempts AS a
                    WHERE a.job_id = h.job_id
                    ORDER BY a.attempt DESC
                    LIMIT 1
                ) IN ('succeeded', 'failed', 'cancelled') THEN TRUE
                WHEN h.scope <> 'limit' THEN FALSE
                ELSE NOT EXISTS (
                    SELECT FROM (
                        SELECT r.lane_id FROM pgq_ready AS r WHERE r.job_id = h.job_id
                        UNION ALL
                        SELECT d.lane_id FROM pgq_deferred AS d WHERE d.job_id = h.job_id
                    ) AS w
                    INNER JOIN pgq_lanes AS l ON l.lane_id = w.lane_id AND l.kind = 'alone'
                )
            END
        RETURNING h.entrypoint, h.scope
    )

    SELECT
        array_agg(f.entrypoint) FILTER (WHERE f.scope <> 'limit'),
        array_agg(f.scope) FILTER (WHERE f.scope <> 'limit'),
        array_agg(f.entrypoint) FILTER (WHERE f.scope = 'limit')
    INTO v_entrypoints, v_scopes, v_limited
    FROM freed AS f;
    IF v_entrypoints IS NOT NULL THEN
        PERFORM pgq_hand_over(v_entrypoints, v_scopes);
    END IF;
    -- Whoever freed a place may have no slot for the next job: an idle worker has.
    IF v_limited IS NOT NULL
        AND (SELECT i.last_value >> 20 FROM pgq_idle AS i) > pgq_now_ms()
        AND EXISTS (
            SELECT FROM pgq_lanes AS l
            INNER JOIN pgq_ready AS r ON r.lane_id = l.lane_id
            WHERE l.kind = 'plain' AND l.entrypoint = ANY(v_limited)
        ) THEN
        PERFORM pgq_wake('');
    END IF;
END
$$;

-- The time between two starts under a rate, so that no stretch of `period` seconds, wherever it
-- begins, holds more than `rate` starts, the burst included. Rounded up to a microsecond.
CREATE FUNCTION pgq_step(p_limit pgq_limits)
RETURNS interval LANGUAGE sql IMMUTABLE SET search_path FROM CURRENT AS $$
SELECT ceil(p_limit.period * 1000000 / (p_limit.rate - p_limit.burst + 1)) * interval '1 microsecond'
$$;

-- How many starts a rate allows now: one every pgq_step, up to `burst` at once after a pause (the
-- generic cell rate algorithm, ITU-T I.371). wait: seconds until one more is allowed.
CREATE FUNCTION pgq_allowance(
    p_limit pgq_limits, p_scope text, OUT allowed integer, OUT wait double precision
)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_step interval := pgq_step(p_limit);
    v_now timestamptz := clock_timestamp();
    v_first timestamptz;  -- when the next start is allowed, the burst taken into account
BEGIN
    SELECT greatest(r.next_at, v_now) - (p_limit.burst - 1) * v_step INTO v_first
    FROM pgq_rates AS r
    WHERE r.entrypoint = p_limit.entrypoint AND r.scope = p_scope;
    v_first := coalesce(v_first, v_now - (p_limit.burst - 1) * v_step);
    allowed := 0;
    IF v_first <= v_now THEN
        allowed := 1 + floor(extract(EPOCH FROM v_now - v_first) / extract(EPOCH FROM v_step));
    END IF;
    wait := extract(EPOCH FROM v_first + allowed * v_step - v_now);
END
$$;

-- Book starts that the rate allows. The caller holds the entrypoint's lock.
CREATE FUNCTION pgq_book(p_limit pgq_limits, p_scope text, p_starts integer)
RETURNS void LANGUAGE sql VOLATILE SET search_path FROM CURRENT AS $$
INSERT INTO pgq_rates AS r (entrypoint, scope, next_at)
VALUES (p_limit.entrypoint, p_scope, clock_timestamp() + p_starts * pgq_step(p_limit))
ON CONFLICT (entrypoint, scope) DO UPDATE SET
    next_at = greatest(r.next_at, clock_timestamp()) + p_starts * pgq_step(p_limit)
$$;

-- Judge the first p_window jobs of one keyed lane, in their order. A key has as many places as the
-- limit says, 1 without one. `take`: rows to claim, at most p_count; they hold their places already,
-- since another lane of this claim may have jobs of the same key. Behind a key without a free
-- place the rest is parked, and the places of a key that somebody parked waits for are handed over
-- first. Under a rate per key, jobs that are too early take their place and are deferred until it is
-- their turn. `dug`: how many rows that moved; `more`: it is worth coming back; `due`: seconds until
-- the first deferred one is due.
CREATE FUNCTION pgq_sort_keyed(
    p_lane bigint,
    p_floor bigint,
    p_limit pgq_limits,
    p_count integer,
    p_window integer,
    OUT take tid [],
    OUT dug integer,
    OUT more boolean,
    OUT due double precision
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_per_key boolean := p_limit.per_key AND p_limit.rate IS NOT NULL;
    v_park tid [];
    v_early tid [];
    v_waits double precision [];
    v_jobs bigint [];
    v_scopes text [];
    v_waited_for text [];
    v_full boolean;
    v_handed integer := 0;
BEGIN
    WITH candidate AS MATERIALIZED (
        SELECT r.ctid AS place, r.job_id, r.position
        FROM pgq_ready AS r
        WHERE r.lane_id = p_lane AND r.position > p_floor
        ORDER BY r.position
        LIMIT p_window
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

    keys AS MATERIALIZED (
        SELECT
            k.scope,
            coalesce(p_limit.concurrency, 1) - (
                SELECT count(*) FROM pgq_holders AS h
                WHERE h.entrypoint = p_limit.entrypoint AND h.scope = k.scope
            ) AS free,
            EXISTS (
                SELECT FROM pgq_blocked AS b
                WHERE b.entrypoint = p_limit.entrypoint AND b.scope = k.scope AND b.scope <> 'after'
            ) AS waited_for,
            a.allowed,
            a.wait
        FROM (SELECT DISTINCT s.scope FROM scoped AS s) AS k
        LEFT JOIN LATERAL pgq_allowance(p_limit, k.scope) AS a ON v_per_key
    ),

    fitting AS MATERIALIZED (
        SELECT
            f.*,
            -- Who has a place, in order: the rate lets the first of them start.
            row_number() OVER (PARTITION BY f.scope ORDER BY f.held DESC, f.position) AS turn
        FROM (
            SELECT
                s.*, k.allowed, k.wait,
                s.held OR (
                    NOT k.waited_for
                    AND row_number() OVER (PARTITION BY s.scope, s.held ORDER BY s.position) <= k.free
                ) AS fits
            FROM scoped AS s
            INNER JOIN keys AS k USING (scope)
        ) AS f
        WHERE f.fits
    ),

    taken AS MATERIALIZED (
        SELECT f.place, f.job_id, f.scope, f.position, f.held
        FROM fitting AS f
        WHERE f.turn <= f.allowed OR NOT v_per_key
        ORDER BY f.position
        LIMIT p_count
    ),

    early AS MATERIALIZED (
        SELECT
            f.place, f.scope, f.held, f.position,
            f.wait + (f.turn - f.allowed - 1) * extract(EPOCH FROM pgq_step(p_limit)) AS wait
        FROM fitting AS f
        WHERE v_per_key AND f.turn > f.allowed
    ),

    saturated AS (
        SELECT k.scope
        FROM keys AS k
        WHERE k.waited_for OR k.free <= (
            SELECT count(*) FROM (
                SELECT t.scope, t.held FROM taken AS t UNION ALL SELECT e.scope, e.held FROM early AS e
            ) AS new
            WHERE new.scope = k.scope AND NOT new.held
        )
    )

    SELECT
        (SELECT array_agg(t.place ORDER BY t.position) FROM taken AS t),
        (SELECT array_agg(t.job_id ORDER BY t.position) FROM taken AS t),
        (SELECT array_agg(t.scope ORDER BY t.position) FROM taken AS t),
        (
            SELECT array_agg(s.place) FROM scoped AS s
            WHERE
                s.scope IN (SELECT x.scope FROM saturated AS x)
                AND s.job_id NOT IN (SELECT f.job_id FROM fitting AS f)
        ),
        (SELECT array_agg(e.place ORDER BY e.position) FROM early AS e),
        (SELECT array_agg(e.wait ORDER BY e.position) FROM early AS e),
        (SELECT array_agg(k.scope) FROM keys AS k WHERE k.waited_for AND k.free > 0),
        (SELECT count(*) = p_window FROM candidate)
    INTO take, v_jobs, v_scopes, v_park, v_early, v_waits, v_waited_for, v_full;

    INSERT INTO pgq_holders (job_id, entrypoint, scope)
    SELECT t.id, p_limit.entrypoint, t.scope
    FROM unnest(v_jobs, v_scopes) AS t (id, scope)
    ON CONFLICT DO NOTHING;
    IF v_per_key THEN
        PERFORM pgq_book(p_limit, s.scope, count(*)::integer)
        FROM unnest(v_scopes) AS s (scope)
        GROUP BY s.scope;
    END IF;

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

    IF v_early IS NOT NULL THEN
        WITH gone AS (
            DELETE FROM pgq_ready AS r USING unnest(v_early, v_waits) AS e (place, wait)
            WHERE r.ctid = e.place
            RETURNING r.*, e.wait
        ),

        held AS (
            INSERT INTO pgq_holders (job_id, entrypoint, scope)
            SELECT g.job_id, p_limit.entrypoint, 'key:' || j.concurrency_key
            FROM gone AS g
            INNER JOIN pgq_jobs AS j ON j.id = g.job_id
            ON CONFLICT DO NOTHING
        )

        INSERT INTO pgq_deferred (run_at, lane_id, job_id, attempt, spent, crashes)
        SELECT
            clock_timestamp() + g.wait * interval '1 second', g.lane_id, g.job_id, g.attempt,
            g.spent, g.crashes
        FROM gone AS g;
    END IF;

    IF v_waited_for IS NOT NULL THEN
        v_handed := pgq_hand_over(
            array_fill(p_limit.entrypoint, ARRAY[cardinality(v_waited_for)]), v_waited_for
        );
    END IF;
    dug := coalesce(cardinality(v_park), 0) + coalesce(cardinality(v_early), 0) + v_handed;
    more := v_handed > 0 OR (v_full AND dug > 0);
    due := (SELECT min(w.wait) FROM unnest(v_waits) AS w (wait));
END
$$;

-- Claim jobs of limited and keyed lanes, in the order given; rows and status as pgq_claim returns
-- them. Every claim is flushed before its handlers start: a limit must hold across a crash.
-- Status: busy (another claimer is at an entrypoint right now), more (there are jobs left that may
-- start, given room), wait (seconds until a rate allows the next start, or a job deferred by one is
-- due).
CREATE FUNCTION pgq_claim_limited(
    p_worker bigint,
    p_token bigint,
    p_count integer,
    p_lanes bigint [],
    p_floors bigint [],
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
    v_room integer;
    v_window integer;
    v_take tid [] := '{}';
    v_taken tid [];
    v_sorted record;
    v_dug integer := 0;  -- rows moved out of the way by this claim
    v_allowed integer;  -- by the entrypoint's rate; NULL: it has none
    v_next double precision;
    v_busy boolean := FALSE;
    v_more boolean := FALSE;
    v_wait double precision;
BEGIN
    FOR v_lane IN
        SELECT n.*
        FROM unnest(p_lanes, p_floors, p_kinds, p_entrypoints) AS n (id, floor, kind, entrypoint)
    LOOP
        IF v_left <= 0 THEN
            v_more := TRUE;
            EXIT;
        END IF;
        IF NOT pg_try_advisory_xact_lock(pgq_limit_key(v_lane.entrypoint)) THEN
            v_busy := TRUE;
            CONTINUE;
        END IF;
        SELECT * INTO v_limit FROM pgq_limits AS l WHERE l.entrypoint = v_lane.entrypoint;
        v_limit.entrypoint := v_lane.entrypoint;
        v_room := v_left;
        v_allowed := NULL;
        IF v_limit.rate IS NOT NULL AND (v_lane.kind = 'plain' OR NOT v_limit.per_key) THEN
            SELECT a.allowed, a.wait INTO v_allowed, v_next FROM pgq_allowance(v_limit, 'limit') AS a;
            v_room := least(v_room, v_allowed);
        END IF;

        v_taken := NULL;
        IF v_lane.kind = 'plain' THEN
            IF v_limit.concurrency IS NOT NULL THEN
                v_room := least(v_room, v_limit.concurrency - (
                    SELECT count(*) FROM pgq_holders AS h
                    WHERE h.entrypoint = v_lane.entrypoint AND h.scope = 'limit'
                ));
            END IF;
            SELECT array_agg(t.place) INTO v_taken FROM (
                SELECT r.ctid AS place FROM pgq_ready AS r
                WHERE r.lane_id = v_lane.id AND r.position > v_lane.floor
                ORDER BY r.position
                LIMIT greatest(0, v_room)
                FOR UPDATE SKIP LOCKED
            ) AS t;
            INSERT INTO pgq_holders (job_id, entrypoint, scope)
            SELECT r.job_id, v_lane.entrypoint, 'limit'
            FROM pgq_ready AS r
            WHERE r.ctid = ANY(v_taken)
            ON CONFLICT DO NOTHING;
        ELSIF v_room > 0 THEN
            -- A busy key at the head: park it and look behind it, within reason.
            v_window := 2 * v_room + 16;
            LOOP
                SELECT * INTO v_sorted
                FROM pgq_sort_keyed(
                    v_lane.id, v_lane.floor, v_limit, v_room, least(v_window, 1000)
                );
                v_taken := v_sorted.take;
                v_wait := least(v_wait, v_sorted.due);
                v_dug := v_dug + v_sorted.dug;
                v_more := v_more OR v_sorted.more;
                EXIT WHEN v_taken IS NOT NULL OR v_sorted.dug = 0 OR v_dug >= 2000;
                v_window := v_window * 4;
            END LOOP;
        END IF;

        v_taken := coalesce(v_taken, '{}');
        IF v_allowed IS NOT NULL AND v_taken <> '{}' THEN
            PERFORM pgq_book(v_limit, 'limit', cardinality(v_taken));
        END IF;
        IF v_allowed <= cardinality(v_taken) AND EXISTS (
            SELECT FROM pgq_ready AS r
            WHERE
                r.lane_id = v_lane.id
                AND r.position > v_lane.floor
                AND r.ctid <> ALL(v_taken)
        ) THEN
            v_wait := least(v_wait, v_next);
        END IF;
        v_take := v_take || v_taken;
        v_left := v_left - cardinality(v_taken);
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

    status := jsonb_build_object('busy', v_busy, 'more', v_more, 'wait', v_wait);
    RETURN NEXT;
END
$$;
