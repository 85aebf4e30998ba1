-- Enqueue is one ordinary INSERT into pgq_jobs; these triggers do the rest, inside the caller's
-- transaction: the lane's entry in the directory, the pointer, the wake-up.

-- Whether the columns of a new job hold what they may: times that workers can read, and names that
-- fit into an index.
CREATE FUNCTION pgq_allowed(
    p_queue text,
    p_entrypoint text,
    p_concurrency_key text,
    p_created_at timestamptz,
    p_run_at timestamptz,
    p_max_attempts smallint,
    p_timeout double precision,
    p_unique_for double precision,
    p_unique_while text,
    p_on_failure text
)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT
    p_queue <> '' AND p_entrypoint <> ''
    AND octet_length(p_queue) <= 1000 AND octet_length(p_entrypoint) <= 1000
    AND (p_concurrency_key IS NULL OR octet_length(p_concurrency_key) <= 1000)
    AND (p_max_attempts IS NULL OR p_max_attempts > 0)
    AND p_created_at >= '0001-01-01 00:00+00' AND p_created_at < '10000-01-01 00:00+00'
    AND (
        p_run_at IS NULL
        OR (p_run_at >= '0001-01-01 00:00+00' AND p_run_at < '10000-01-01 00:00+00')
    )
    AND (p_timeout IS NULL OR (p_timeout > 0 AND p_timeout < 'infinity'))
    AND (p_unique_for IS NULL OR (p_unique_for > 0 AND p_unique_for < 'infinity'))
    AND (p_unique_while IS NULL OR p_unique_while IN ('waiting', 'unfinished'))
    AND (p_on_failure IS NULL OR p_on_failure IN ('run', 'skip', 'cancel', 'only'))
$$;

CREATE FUNCTION pgq_fan_out()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    v_now timestamptz;
    v_count bigint;
    v_later boolean;
    v_after boolean;
    v_good boolean;
    v_first bigint;
    v_last bigint;
    v_known boolean;
    v_awaited boolean;
BEGIN
    -- Nearly always there is one plain job, to start at once. Every expression here is set up anew in
    -- each transaction, which costs more than to work it out, so this case is one statement with few
    -- of them and two plain variables. A lane that is known has names that are allowed.
    -- The insert that fired us has given this transaction its xid, before any position is drawn.
    -- No column is left to its default, which would cost another node of the plan.
    INSERT INTO pgq_ready (lane_id, position, job_id, attempt, spent, crashes)
    SELECT
        pgq_lane_id(f.queue, f.entrypoint, f.priority, 'plain'),
        nextval('pgq_positions'),
        f.id,
        0,
        0::smallint,
        0::smallint
    FROM fresh AS f
    WHERE
        NOT EXISTS (SELECT FROM fresh OFFSET 1)
        AND num_nonnulls(f.run_at, f.after, f.timeout, f.concurrency_key, f.unique_for,
            f.unique_while, f.on_failure) = 0
        AND coalesce(f.max_attempts, 1) > 0
        AND f.created_at >= '0001-01-01 00:00+00' AND f.created_at < '10000-01-01 00:00+00'
    RETURNING
        lane_id,
        EXISTS (SELECT FROM pgq_lanes AS l WHERE l.lane_id = pgq_ready.lane_id),
        pgq_awaited()
    INTO v_first, v_known, v_awaited;
    IF v_known THEN
        IF v_awaited THEN
            PERFORM pgq_wake(v_first::text);
        END IF;
        RETURN NULL;
    END IF;

    v_now := clock_timestamp();  -- read once: two readings could drop a row between them
    SELECT
        count(*), bool_or(f.run_at > v_now AND f.after IS NULL), bool_or(f.after IS NOT NULL),
        bool_and(pgq_allowed(f.queue, f.entrypoint, f.concurrency_key, f.created_at, f.run_at,
            f.max_attempts, f.timeout, f.unique_for, f.unique_while, f.on_failure))
    INTO v_count, v_later, v_after, v_good
    FROM fresh AS f;
    IF v_count = 0 THEN
        RETURN NULL;
    ELSIF NOT v_good THEN
        RAISE check_violation USING
            MESSAGE = 'a job in this INSERT has a value that pgq_allowed() does not allow';
    END IF;

    IF v_first IS NULL THEN
        WITH put AS (
            INSERT INTO pgq_ready (lane_id, position, job_id)
            SELECT
                pgq_lane_id(f.queue, f.entrypoint, f.priority, pgq_kind(f.concurrency_key)),
                nextval('pgq_positions'),
                f.id
            FROM fresh AS f
            WHERE (f.run_at IS NULL OR f.run_at <= v_now) AND f.after IS NULL
            ORDER BY f.id
            RETURNING lane_id
        )
        SELECT
            min(put.lane_id), max(put.lane_id),
            min(put.lane_id) = max(put.lane_id)
            AND EXISTS (SELECT FROM pgq_lanes AS l WHERE l.lane_id = min(put.lane_id)),
            pgq_awaited()
        INTO v_first, v_last, v_known, v_awaited
        FROM put;
    ELSE
        v_last := v_first;
    END IF;
    IF v_later THEN
        INSERT INTO pgq_deferred (run_at, lane_id, job_id)
        SELECT
            f.run_at,
            pgq_lane_id(f.queue, f.entrypoint, f.priority, pgq_kind(f.concurrency_key)),
            f.id
        FROM fresh AS f
        WHERE f.run_at > v_now AND f.after IS NULL;
    END IF;
    IF v_after THEN
        PERFORM pgq_wait_for(ARRAY(SELECT f.id FROM fresh AS f WHERE f.after IS NOT NULL));
    END IF;

    IF v_later OR v_after OR NOT v_known THEN
        INSERT INTO pgq_lanes (lane_id, priority, kind, queue, entrypoint)
        SELECT n.lane_id, n.priority, n.kind, n.queue, n.entrypoint
        FROM (
            SELECT DISTINCT
                pgq_lane_id(f.queue, f.entrypoint, f.priority, pgq_kind(f.concurrency_key))
                    AS lane_id,
                f.priority,
                pgq_kind(f.concurrency_key) AS kind,
                f.queue,
                f.entrypoint
            FROM fresh AS f
        ) AS n
        WHERE NOT EXISTS (SELECT FROM pgq_lanes AS l WHERE l.lane_id = n.lane_id);
    END IF;

    IF v_first IS NOT NULL AND v_awaited THEN
        PERFORM pgq_wake(CASE WHEN v_first = v_last THEN v_first::text ELSE '' END);
    ELSIF v_first IS NULL AND EXISTS (SELECT FROM fresh AS f WHERE f.run_at < v_now + interval '2 seconds') THEN
        PERFORM pgq_wake('');
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER pgq_fan_out AFTER INSERT ON pgq_jobs
REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION pgq_fan_out();

-- Take the unique key, or skip the row quietly: the key's holder is the job that counts. A holder's
-- key is never locked here, so that no finishing worker waits for an enqueuing transaction.
CREATE FUNCTION pgq_take_key()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM pgq_locks AS l
    WHERE
        l.entrypoint = NEW.entrypoint
        AND l.unique_key = NEW.unique_key
        AND l.expires_at <= clock_timestamp();
    INSERT INTO pgq_locks (entrypoint, unique_key, job_id, expires_at)
    VALUES (
        NEW.entrypoint, NEW.unique_key, NEW.id,
        clock_timestamp() + NEW.unique_for * interval '1 second'
    )
    ON CONFLICT (entrypoint, unique_key) DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER pgq_take_key BEFORE INSERT ON pgq_jobs
FOR EACH ROW WHEN (NEW.unique_key IS NOT NULL) EXECUTE FUNCTION pgq_take_key();

-- Enqueue many jobs in input order. Ids are drawn first, so that a skipped duplicate shifts none.
-- Returns one row per input row: its ordinal, the job's id (for a duplicate the id of the job that
-- holds the key) and whether the job is new. Keys are taken in sorted order, against deadlocks; a
-- key whose holder finished while we looked is taken in another round. p_afters: arrays as text of
-- the jobs to wait for; -k is what becomes of the k-th job of this call, so a job that waits for one
-- with a key is written in a later round. p_replaces: a holder that has not started is cancelled and
-- replaced, key by key. p_raises: a duplicate among these undoes what the whole call has written, in
-- a subtransaction, so that the caller's goes on.
CREATE FUNCTION pgq_enqueue(
    p_entrypoints text [],
    p_payloads bytea [],
    p_priorities smallint [],
    p_queues text [],
    p_run_ats timestamptz [],
    p_delays double precision [],
    p_unique_keys text [],
    p_concurrency_keys text [],
    p_headers text [],
    p_max_attempts smallint [],
    p_timeouts double precision [],
    p_unique_fors double precision [],
    p_unique_whiles text [],
    p_afters text [],
    p_on_failures text [],
    p_replaces boolean [],
    p_raises boolean []
)
RETURNS TABLE (ordinal bigint, job_id bigint, fresh boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_keyed boolean := cardinality(array_remove(p_unique_keys, NULL)) > 0;
    v_replace boolean := v_keyed AND TRUE = ANY(p_replaces);
    v_ids bigint [];
    v_final bigint [];    -- what became of each row: its own id, its key's holder, NULL: not known yet
    v_round integer [];   -- the rows to write now, in order; NULL: all
    v_part integer [];
    v_step integer;
    v_fresh boolean [];
BEGIN
    IF TRUE = ANY(p_raises) THEN
        BEGIN
            SELECT
                array_agg(e.job_id ORDER BY e.ordinal), array_agg(e.fresh ORDER BY e.ordinal)
            INTO v_final, v_fresh
            FROM pgq_enqueue(
                p_entrypoints, p_payloads, p_priorities, p_queues, p_run_ats, p_delays,
                p_unique_keys, p_concurrency_keys, p_headers, p_max_attempts, p_timeouts,
                p_unique_fors, p_unique_whiles, p_afters, p_on_failures, p_replaces, NULL
            ) AS e;
            IF EXISTS (
                SELECT FROM unnest(v_fresh, p_raises) AS n (fresh, raises)
                WHERE n.raises AND NOT n.fresh
            ) THEN
                RAISE unique_violation;
            END IF;
        EXCEPTION WHEN unique_violation THEN  -- what the variables hold stays
            IF v_fresh IS NULL THEN
                RAISE;  -- not ours
            END IF;
        END;
        RETURN QUERY
        SELECT n.ordinal, n.final, n.fresh
        FROM unnest(v_final, v_fresh) WITH ORDINALITY AS n (final, fresh, ordinal)
        ORDER BY n.ordinal;
        RETURN;
    END IF;

    SELECT array_agg(nextval('pgq_jobs_id_seq')) INTO v_ids
    FROM generate_series(1, cardinality(p_entrypoints));
    IF v_keyed THEN
        v_final := array_fill(NULL::bigint, ARRAY[cardinality(v_ids)]);
    ELSE
        v_final := v_ids;
    END IF;

    LOOP
        IF v_keyed THEN
            SELECT array_agg(
                n.ordinal ORDER BY n.entrypoint COLLATE "C", n.unique_key COLLATE "C", n.ordinal
            )
            INTO v_round
            FROM unnest(v_final, p_entrypoints, p_unique_keys, p_afters) WITH ORDINALITY
                AS n (final, entrypoint, unique_key, after, ordinal)
            WHERE n.final IS NULL AND (n.after IS NULL OR NOT EXISTS (
                SELECT FROM unnest(n.after::bigint []) AS a (id)
                WHERE a.id < 0 AND v_final[-a.id] IS NULL
            ));
            IF v_round IS NULL THEN
                RAISE invalid_parameter_value USING MESSAGE = 'jobs wait for each other in a circle';
            END IF;
        END IF;

        v_step := CASE WHEN v_replace THEN 1 ELSE greatest(1, cardinality(v_ids)) END;
        FOR i IN 1..coalesce(cardinality(v_round), 1) BY v_step LOOP
            v_part := v_round[i:i + v_step - 1];
            IF v_replace THEN
                PERFORM pgq_cancel_waiting(ARRAY(
                    SELECT l.job_id FROM pgq_locks AS l
                    WHERE
                        p_replaces[v_part[1]]
                        AND l.entrypoint = p_entrypoints[v_part[1]]
                        AND l.unique_key = p_unique_keys[v_part[1]]
                ), 'replaced', TRUE);
            END IF;
            INSERT INTO pgq_jobs (
                id, entrypoint, payload, priority, queue, run_at, unique_key, concurrency_key,
                headers, max_attempts, timeout, unique_for, unique_while, after, on_failure
            )
            SELECT
                n.id, n.entrypoint, n.payload, n.priority, n.queue,
                coalesce(n.run_at, v_now + n.delay * interval '1 second'),
                n.unique_key, n.concurrency_key, n.headers::jsonb, n.max_attempts, n.timeout,
                n.unique_for, n.unique_while,
                CASE WHEN n.after IS NOT NULL THEN ARRAY(
                    SELECT CASE WHEN a.id < 0 THEN v_final[-a.id] ELSE a.id END
                    FROM unnest(n.after::bigint []) AS a (id)
                ) END,
                n.on_failure
            FROM unnest(
                v_ids, p_entrypoints, p_payloads, p_priorities, p_queues, p_run_ats, p_delays,
                p_unique_keys, p_concurrency_keys, p_headers, p_max_attempts, p_timeouts,
                p_unique_fors, p_unique_whiles, p_afters, p_on_failures
            ) WITH ORDINALITY AS n (
                id, entrypoint, payload, priority, queue, run_at, delay,
                unique_key, concurrency_key, headers, max_attempts, timeout,
                unique_for, unique_while, after, on_failure, ordinal
            )
            WHERE v_part IS NULL OR n.ordinal = ANY(v_part)
            ORDER BY n.entrypoint COLLATE "C", n.unique_key COLLATE "C", n.ordinal;
        END LOOP;
        EXIT WHEN NOT v_keyed;

        -- A holder that is to be replaced, and waits for its start, leaves its row for another round.
        SELECT array_agg(
            CASE
                WHEN n.final IS NOT NULL OR r.ordinal IS NULL THEN n.final
                WHEN EXISTS (SELECT FROM pgq_jobs AS j WHERE j.id = n.id) THEN n.id
                WHEN n.replace IS NOT TRUE OR NOT pgq_waits(l.job_id) THEN l.job_id
            END
            ORDER BY n.ordinal
        )
        INTO v_final
        FROM unnest(v_ids, v_final, p_entrypoints, p_unique_keys, p_replaces) WITH ORDINALITY
            AS n (id, final, entrypoint, unique_key, replace, ordinal)
        LEFT JOIN unnest(v_round) AS r (ordinal) ON r.ordinal = n.ordinal
        LEFT JOIN pgq_locks AS l
            ON l.entrypoint = n.entrypoint AND l.unique_key = n.unique_key;
        EXIT WHEN array_position(v_final, NULL) IS NULL;
    END LOOP;

    RETURN QUERY
    SELECT n.ordinal, n.final, n.final = n.id
    FROM unnest(v_ids, v_final) WITH ORDINALITY AS n (id, final, ordinal)
    ORDER BY n.ordinal;
END
$$;

-- Whether a job waits for its start.
CREATE FUNCTION pgq_waits(p_job bigint)
RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
SELECT
    EXISTS (SELECT FROM pgq_ready AS r WHERE r.job_id = p_job)
    OR EXISTS (SELECT FROM pgq_deferred AS d WHERE d.job_id = p_job)
    OR EXISTS (SELECT FROM pgq_blocked AS b WHERE b.job_id = p_job)
$$;
