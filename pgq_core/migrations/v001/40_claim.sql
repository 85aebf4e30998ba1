-- The epoch: a new value after a server crash (the unlogged row is gone) and after any restart.
CREATE FUNCTION pgq_current_epoch(OUT epoch text, OUT since timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    v_row pgq_epoch;
BEGIN
    SELECT * INTO v_row FROM pgq_epoch AS e LIMIT 1;
    IF NOT FOUND THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('pgq epoch ' || current_schema(), 0));
        INSERT INTO pgq_epoch (epoch, since)
        SELECT (random() * 9007199254740992)::bigint, clock_timestamp()
        WHERE NOT EXISTS (SELECT FROM pgq_epoch);
        SELECT * INTO v_row FROM pgq_epoch AS e LIMIT 1;
    END IF;
    epoch := v_row.epoch || '.' || extract(EPOCH FROM pg_postmaster_start_time());
    since := greatest(v_row.since, pg_postmaster_start_time());
END
$$;

-- Move due jobs from deferred to ready, at most p_limit, looking from p_from on.
CREATE FUNCTION pgq_promote(p_from timestamptz, p_until timestamptz, p_limit integer)
RETURNS integer LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_moved integer;
BEGIN
    -- Positions are drawn from rows of the DELETE: this transaction has its xid by then.
    WITH gone AS (
        DELETE FROM pgq_deferred
        WHERE ctid = ANY(ARRAY(
            SELECT d.ctid
            FROM pgq_deferred AS d
            WHERE d.run_at >= p_from AND d.run_at <= p_until
            ORDER BY d.run_at
            LIMIT p_limit
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING run_at, lane_id, job_id, attempt, spent, crashes
    )
    INSERT INTO pgq_ready (lane_id, position, job_id, attempt, spent, crashes)
    SELECT g.lane_id, nextval('pgq_positions'), g.job_id, g.attempt, g.spent, g.crashes
    FROM (SELECT * FROM gone ORDER BY run_at, job_id) AS g;
    GET DIAGNOSTICS v_moved = ROW_COUNT;
    RETURN v_moved;
END
$$;

-- What a worker wants to know besides jobs, in one go: promotes what is due, then says the epoch,
-- when the next job is due (s), who looks dead, whose cancellation is asked, how far the lane
-- directory and the pause flags have moved. Raises the idle flag for p_idle_ms; 0: takes it down, if
-- it is this worker's; NULL: leaves it. After that it notes the oldest open transaction that has
-- written and the id that the next one gets: when they are the same, there is none.
CREATE FUNCTION pgq_look(
    p_worker bigint,
    p_due_from timestamptz,
    p_due_settle bigint,
    p_idle_ms integer,
    p_schedules text [],
    p_limited bigint [],
    p_limited_floors bigint []
)
RETURNS jsonb LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_epoch record;
    v_now timestamptz := clock_timestamp();
    v_promoted integer;
    v_due timestamptz;
    v_oldest xid8;
    v_following bigint;
    v_settled boolean;
    v_first timestamptz;
    v_gone bigint [];
    v_stale bigint [];
    v_idle bigint;
BEGIN
    IF p_idle_ms > 0 THEN
        SELECT last_value INTO v_idle FROM pgq_idle;
        IF (v_idle >> 20) < pgq_now_ms() + p_idle_ms / 2 THEN
            PERFORM setval('pgq_idle', ((pgq_now_ms() + p_idle_ms) << 20) | (p_worker & 1048575));
        END IF;
    ELSIF p_idle_ms = 0 THEN
        SELECT last_value INTO v_idle FROM pgq_idle;
        IF v_idle > 1048576 AND (v_idle & 1048575) = (p_worker & 1048575) THEN
            PERFORM setval('pgq_idle', 1);
        END IF;
    END IF;

    SELECT * INTO v_epoch FROM pgq_current_epoch();
    v_promoted := pgq_promote(p_due_from, v_now, 1000);

    SELECT min(d.run_at) INTO v_due FROM pgq_deferred AS d WHERE d.run_at > v_now;

    -- The first row from the watermark, read plainly in a snapshot in which everything due by then
    -- had settled: the watermark may move to just before it.
    v_oldest := pg_snapshot_xmin(pg_current_snapshot());
    v_following := v_oldest::text::bigint + age(v_oldest::xid);
    SELECT
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= p_due_settle,
        (SELECT d.run_at FROM pgq_deferred AS d WHERE d.run_at >= p_due_from ORDER BY d.run_at LIMIT 1)
    INTO v_settled, v_first;

    SELECT
        array_agg(w.worker_id) FILTER (WHERE NOT w.stale),
        array_agg(w.worker_id) FILTER (WHERE w.stale)
    INTO v_gone, v_stale
    FROM (
        SELECT
            o.worker_id,
            o.beat_at + o.lease_seconds * interval '1 second' < v_now AS stale
        FROM pgq_workers AS o
        WHERE
            o.worker_id <> p_worker
            AND (
                o.beat_at + o.lease_seconds * interval '1 second' < v_now
                OR (
                    o.locked_at > v_epoch.since
                    AND pg_try_advisory_xact_lock_shared(pgq_worker_key(o.worker_id))
                )
            )
    ) AS w;

    RETURN jsonb_build_object(
        'epoch', v_epoch.epoch,
        'now', extract(EPOCH FROM v_now),
        'oldest', v_oldest::text::bigint,
        'following', v_following,
        'promoted', v_promoted,
        'due', extract(EPOCH FROM v_due - v_now),
        'due_settled', v_settled,
        'due_first', extract(EPOCH FROM v_first),
        'gone', v_gone,
        'stale', v_stale,
        'cancels', (SELECT jsonb_object_agg(c.job_id, c.reason) FROM pgq_cancels AS c),
        -- Both: ids commit out of order, and duplicates are tidied away.
        'lanes', (SELECT max(l.id) || '/' || count(*) FROM pgq_lanes AS l),
        'alone', (
            SELECT jsonb_agg(DISTINCT l.lane_id)
            FROM pgq_lanes AS l
            WHERE
                l.kind = 'alone'
                AND EXISTS (SELECT FROM pgq_ready AS r WHERE r.lane_id = l.lane_id)
        ),
        'limited', EXISTS (
            SELECT
            FROM unnest(p_limited, p_limited_floors) AS l (id, floor)
            CROSS JOIN LATERAL (
                SELECT FROM pgq_ready AS r
                WHERE r.lane_id = l.id AND r.position > l.floor
                LIMIT 1
            ) AS r
        ),
        'blocked', EXISTS (SELECT FROM pgq_blocked),
        'lease', (SELECT s.last_value FROM pgq_lease_ids AS s),
        'others', (
            SELECT bool_or(o.running > 0) FROM pgq_workers AS o WHERE o.worker_id <> p_worker
        ),
        'tick', (
            SELECT extract(EPOCH FROM min(coalesce(s.next_at, v_now)) - v_now)
            FROM pgq_schedules AS s
            WHERE s.paused_at IS NULL AND (s.origin = 'user' OR s.name = ANY(p_schedules))
        ),
        'paused', (
            SELECT jsonb_agg(jsonb_build_array(q.queue, q.entrypoint))
            FROM pgq_queues AS q
            WHERE q.paused_at IS NOT NULL
        )
    );
END
$$;

-- Claim up to p_count ready jobs over the given stretches of lanes (lane, after start, up to end),
-- in the order given, and record them in one lease. Returns one row per job, then one row
-- that holds only the status.
--
-- Nothing here waits for another claimer; rows are locked only as they are taken. The commit needs
-- no flush: a claim lost in a server crash is a job still ready. Claims that hold a job which may
-- start only once are flushed. Jobs of the lanes in p_single get a lease each, so that a handler's
-- own transaction can end one without touching its neighbours'.
--
-- Status: last (last position drawn, read before this transaction had an xid), xid (of this
-- transaction, absent when it had one before or none), floors (per p_floor_lanes the new floor,
-- present only when p_settled had settled: every transaction below p_settle_xid has ended).
CREATE FUNCTION pgq_claim(
    p_worker bigint,
    p_token bigint,
    p_count integer,
    p_lanes bigint [],
    p_starts bigint [],
    p_ends bigint [],
    p_caps smallint [],
    p_single bigint [],
    p_floor_lanes bigint [],
    p_floors bigint [],
    p_settled bigint,
    p_settle_xid bigint,
    p_force_xid boolean,
    p_look boolean,
    p_due_from timestamptz,
    p_due_settle bigint,
    p_idle_ms integer,
    p_schedules text [],
    p_limited bigint [],
    p_limited_floors bigint []
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
DECLARE
    v_durable text := current_setting('synchronous_commit');
    v_fresh boolean := pg_current_xact_id_if_assigned() IS NULL;
    v_last bigint;
    v_lease bigint;
    v_floors jsonb;
    v_look jsonb;
BEGIN
    SELECT last_value INTO v_last FROM pgq_positions;
    PERFORM set_config('synchronous_commit', 'off', TRUE);

    IF p_look THEN
        v_look := pgq_look(
            p_worker, p_due_from, p_due_settle, p_idle_ms, p_schedules, p_limited,
            p_limited_floors
        );
    END IF;

    IF cardinality(p_floor_lanes) > 0 THEN
        SELECT jsonb_object_agg(f.lane_id, coalesce(least(p_settled, r.position - 1), p_settled))
        INTO v_floors
        FROM unnest(p_floor_lanes, p_floors) AS f (lane_id, floor)
        LEFT JOIN LATERAL (
            SELECT y.position
            FROM pgq_ready AS y
            WHERE y.lane_id = f.lane_id AND y.position > f.floor
            ORDER BY y.position
            LIMIT 1
        ) AS r ON TRUE
        WHERE pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= p_settle_xid;
    END IF;

    IF p_count > 0 THEN
        SELECT last_value INTO v_lease FROM pgq_lease_ids;
        RETURN QUERY
        WITH pick AS MATERIALIZED (
            SELECT r.ctid
            FROM unnest(p_lanes, p_starts, p_ends) AS lane (id, start, stop)
            CROSS JOIN LATERAL (
                SELECT y.ctid
                FROM pgq_ready AS y
                WHERE y.lane_id = lane.id AND y.position > lane.start AND y.position <= lane.stop
                ORDER BY y.position
                LIMIT p_count
                FOR UPDATE SKIP LOCKED
            ) AS r
            LIMIT p_count
        ),

        took AS (
            DELETE FROM pgq_ready AS y
            WHERE y.ctid = ANY(ARRAY(SELECT p.ctid FROM pick AS p))
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
                nextval('pgq_lease_ids') AS lease_id,
                g.own,
                array_agg(g.id) AS job_ids,
                array_agg(g.attempt) AS attempts,
                array_agg(g.spent) AS spent,
                array_agg(g.crashes) AS crashes,
                array_agg(g.cap) AS caps
            FROM (
                SELECT b.*, CASE WHEN b.lane_id = ANY(p_single) THEN b.id ELSE 0 END AS own FROM body AS b
            ) AS g
            GROUP BY g.own
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
        INNER JOIN batch AS c
            ON c.own = CASE WHEN b.lane_id = ANY(p_single) THEN b.id ELSE 0 END
        ORDER BY b.priority, b.position;

        IF FOUND THEN
            PERFORM FROM pgq_leases AS l
            WHERE
                l.worker_id = p_worker
                AND l.lease_id >= v_lease
                AND l.token = p_token
                AND 1 = ANY(l.caps);
            IF FOUND THEN
                PERFORM set_config('synchronous_commit', v_durable, TRUE);
            END IF;
        END IF;
    END IF;

    IF p_force_xid THEN
        PERFORM pg_current_xact_id();
    END IF;
    status := jsonb_build_object('last', v_last, 'floors', v_floors, 'look', v_look);
    IF v_fresh THEN
        status := status || jsonb_build_object(
            'xid', pg_current_xact_id_if_assigned()::text::bigint
        );
    END IF;
    RETURN NEXT;
END
$$;
