-- Enqueue is one ordinary INSERT into pgq_jobs; these triggers do the rest, inside the caller's
-- transaction: the lane's entry in the directory, the pointer, the wake-up.

CREATE FUNCTION pgq_fan_out()
RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    v_now timestamptz := clock_timestamp();  -- read once: two readings could drop a row between them
    v_first bigint;
    v_last bigint;
    v_later boolean;
BEGIN
    -- The insert that fired us has given this transaction its xid, before any position is drawn.
    WITH put AS (
        INSERT INTO pgq_ready (lane_id, position, job_id)
        SELECT
            pgq_lane_id(f.queue, f.entrypoint, f.priority, 'plain'),
            nextval('pgq_positions'),
            f.id
        FROM fresh AS f
        WHERE f.run_at IS NULL OR f.run_at <= v_now
        ORDER BY f.id
        RETURNING lane_id
    )
    SELECT min(lane_id), max(lane_id) INTO v_first, v_last FROM put;

    SELECT bool_or(f.run_at > v_now) INTO v_later FROM fresh AS f;
    IF v_later THEN
        INSERT INTO pgq_deferred (run_at, lane_id, job_id)
        SELECT f.run_at, pgq_lane_id(f.queue, f.entrypoint, f.priority, 'plain'), f.id
        FROM fresh AS f
        WHERE f.run_at > v_now;
    END IF;

    IF v_later OR v_first <> v_last
        OR NOT EXISTS (SELECT FROM pgq_lanes AS l WHERE l.lane_id = v_first) THEN
        INSERT INTO pgq_lanes (lane_id, priority, queue, entrypoint)
        SELECT n.lane_id, n.priority, n.queue, n.entrypoint
        FROM (
            SELECT DISTINCT
                pgq_lane_id(f.queue, f.entrypoint, f.priority, 'plain') AS lane_id,
                f.priority,
                f.queue,
                f.entrypoint
            FROM fresh AS f
        ) AS n
        WHERE NOT EXISTS (SELECT FROM pgq_lanes AS l WHERE l.lane_id = n.lane_id);
    END IF;

    IF v_first IS NOT NULL THEN
        PERFORM pgq_wake(CASE WHEN v_first = v_last THEN v_first::text ELSE '' END);
    ELSIF v_later AND EXISTS (SELECT FROM fresh AS f WHERE f.run_at < v_now + interval '2 seconds') THEN
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
    INSERT INTO pgq_locks (entrypoint, unique_key, job_id)
    VALUES (NEW.entrypoint, NEW.unique_key, NEW.id)
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
-- key whose holder finished while we looked is taken in a second round.
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
    p_timeouts double precision []
)
RETURNS TABLE (ordinal bigint, job_id bigint, fresh boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_keyed boolean := cardinality(array_remove(p_unique_keys, NULL)) > 0;
    v_ids bigint [];
    v_missing bigint [];  -- still without a body and without a holder of their key
    v_holders bigint [];
BEGIN
    SELECT array_agg(nextval('pgq_jobs_id_seq')) INTO v_ids
    FROM generate_series(1, cardinality(p_entrypoints));

    LOOP
        INSERT INTO pgq_jobs (
            id, entrypoint, payload, priority, queue, run_at, unique_key, concurrency_key,
            headers, max_attempts, timeout
        )
        SELECT
            n.id, n.entrypoint, n.payload, n.priority, n.queue,
            coalesce(n.run_at, v_now + n.delay * interval '1 second'),
            n.unique_key, n.concurrency_key, n.headers::jsonb, n.max_attempts, n.timeout
        FROM unnest(
            v_ids, p_entrypoints, p_payloads, p_priorities, p_queues, p_run_ats, p_delays,
            p_unique_keys, p_concurrency_keys, p_headers, p_max_attempts, p_timeouts
        ) AS n (
            id, entrypoint, payload, priority, queue, run_at, delay,
            unique_key, concurrency_key, headers, max_attempts, timeout
        )
        WHERE v_missing IS NULL OR n.id = ANY(v_missing)
        ORDER BY n.entrypoint COLLATE "C", n.unique_key COLLATE "C", n.id;
        EXIT WHEN NOT v_keyed;

        SELECT
            array_agg(l.job_id ORDER BY n.ordinal),
            array_agg(n.id) FILTER (WHERE n.unique_key IS NOT NULL AND l.job_id IS NULL)
        INTO v_holders, v_missing
        FROM unnest(v_ids, p_entrypoints, p_unique_keys)
            WITH ORDINALITY AS n (id, entrypoint, unique_key, ordinal)
        LEFT JOIN pgq_locks AS l
            ON l.entrypoint = n.entrypoint AND l.unique_key = n.unique_key;
        EXIT WHEN v_missing IS NULL;
    END LOOP;

    RETURN QUERY
    SELECT n.ordinal, coalesce(n.holder, n.id), coalesce(n.holder = n.id, TRUE)
    FROM unnest(v_ids, v_holders) WITH ORDINALITY AS n (id, holder, ordinal)
    ORDER BY n.ordinal;
END
$$;
