-- The id of a lane: its names hashed one upon the other, so that no two ways to cut them agree. It is
-- the same in every session, so that no producer waits for another who is creating the same lane.
CREATE FUNCTION pgq_lane_id(p_queue text, p_entrypoint text, p_priority bigint, p_kind text)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT hashtextextended(
    p_entrypoint, hashtextextended(p_queue, hashtextextended(p_kind, p_priority))
)
$$;

-- The kind of lane a new job belongs to.
CREATE FUNCTION pgq_kind(p_key text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE WHEN p_key IS NULL THEN 'plain' ELSE 'keyed' END
$$;

-- The lane of kind 'again' beside an ordinary one, made if need be. Any other lane stays what it is,
-- and so does one under a limit, which is claimed in another way.
CREATE FUNCTION pgq_again(p_lane bigint)
RETURNS bigint LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_lane pgq_lanes;
    v_again bigint;
BEGIN
    SELECT l.* INTO v_lane FROM pgq_lanes AS l
    WHERE l.lane_id = p_lane AND l.kind = 'plain'
    LIMIT 1;
    IF NOT FOUND
        OR EXISTS (SELECT FROM pgq_limits AS m WHERE m.entrypoint = v_lane.entrypoint) THEN
        RETURN p_lane;
    END IF;
    v_again := pgq_lane_id(v_lane.queue, v_lane.entrypoint, v_lane.priority, 'again');
    INSERT INTO pgq_lanes (lane_id, priority, kind, queue, entrypoint)
    SELECT v_again, v_lane.priority, 'again', v_lane.queue, v_lane.entrypoint
    WHERE NOT EXISTS (SELECT FROM pgq_lanes AS l WHERE l.lane_id = v_again);
    RETURN v_again;
END
$$;

-- The notification channel of worker number p_number (0: the one all workers hear, -1: the one on
-- which results are waited for).
CREATE FUNCTION pgq_channel(p_number bigint)
RETURNS text LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
SELECT 'pgq_' || to_hex(hashtext(current_schema()::text)) || '_' || p_number
$$;

-- The advisory lock that worker p_worker holds while its direct connection lives.
CREATE FUNCTION pgq_worker_key(p_worker bigint)
RETURNS bigint LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
SELECT hashtextextended('pgq worker ' || current_schema() || ' ' || p_worker, 0)
$$;

CREATE FUNCTION pgq_now_ms()
RETURNS bigint LANGUAGE sql VOLATILE AS $$
SELECT (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint
$$;

-- Whether some worker says that it is idle; NULL as long as none ever was. Cheaper than a SELECT from
-- the sequence, and inlined where it is used.
CREATE FUNCTION pgq_awaited()
RETURNS boolean LANGUAGE sql VOLATILE AS $$
SELECT
    pg_sequence_last_value('pgq_idle') >> 20
    > (date_part('epoch', clock_timestamp()) * 1000)::bigint
$$;

-- Wake the one worker that says it is idle, unless some worker was woken in the last 20 ms.
-- A stamp from the future counts as none.
CREATE FUNCTION pgq_wake(p_lane text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    v_now bigint := pgq_now_ms();
    v_idle bigint;
    v_woken bigint;
BEGIN
    SELECT last_value INTO v_idle FROM pgq_idle;
    IF (v_idle >> 20) <= v_now THEN
        RETURN;
    END IF;
    SELECT last_value INTO v_woken FROM pgq_woken;
    IF v_woken > v_now - 20 AND v_woken <= v_now THEN
        RETURN;
    END IF;
    PERFORM pg_notify(pgq_channel(v_idle & 1048575), p_lane);
END
$$;

-- Note that a wake-up has arrived: no idle worker is woken in the next 20 ms.
CREATE FUNCTION pgq_stamp_woken()
RETURNS void LANGUAGE sql VOLATILE SET search_path FROM CURRENT AS $$
SELECT setval('pgq_woken', pgq_now_ms())
$$;

-- Tell those who wait for results that these jobs have ended; none is named where a notification
-- cannot hold them all.
CREATE FUNCTION pgq_tell_ended(p_jobs bigint [])
RETURNS void LANGUAGE sql VOLATILE SET search_path FROM CURRENT AS $$
SELECT pg_notify(
    pgq_channel(-1),
    CASE WHEN cardinality(p_jobs) <= 390 THEN array_to_string(p_jobs, ',') ELSE '' END
)
WHERE cardinality(p_jobs) > 0
$$;

-- Somebody waits for results for the next p_ms milliseconds: finish notifies.
CREATE FUNCTION pgq_expect(p_ms integer)
RETURNS void LANGUAGE sql VOLATILE SET search_path FROM CURRENT AS $$
SELECT setval('pgq_waiting', pgq_now_ms() + p_ms)
FROM pgq_waiting AS w
WHERE w.last_value < pgq_now_ms() + p_ms / 2
$$;
