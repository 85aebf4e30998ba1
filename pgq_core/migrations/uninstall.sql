-- Remove every object of pgq from the schema that search_path names first, and nothing else: all by
-- name, since a user's own may begin with pgq_ too. pgq_jobs goes first, since its triggers
-- need functions; the other tables last, since functions need their types.
DROP VIEW IF EXISTS pgq_job_states;
DROP TABLE IF EXISTS pgq_jobs;
DO $$
DECLARE
    v_schema oid := (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = current_schema());
    v_object regclass;
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT p.oid FROM pg_proc AS p
        WHERE
            p.pronamespace = v_schema
            AND p.proname = ANY(ARRAY[
                'pgq_again', 'pgq_allowance', 'pgq_allowed', 'pgq_awaited', 'pgq_book', 'pgq_cancel',
                'pgq_cancel_waiting', 'pgq_channel', 'pgq_claim', 'pgq_claim_limited',
                'pgq_current_epoch', 'pgq_delete', 'pgq_ended', 'pgq_enqueue', 'pgq_expect',
                'pgq_failed_among', 'pgq_fan_out', 'pgq_finish', 'pgq_follow', 'pgq_hand_over',
                'pgq_kind', 'pgq_lane_id', 'pgq_limit_key', 'pgq_look', 'pgq_now_ms', 'pgq_promote',
                'pgq_prune', 'pgq_prune_batches', 'pgq_put_back', 'pgq_redrive',
                'pgq_refuse_cycles', 'pgq_refused', 'pgq_release', 'pgq_rescue', 'pgq_retry',
                'pgq_set_version', 'pgq_settle', 'pgq_sort_keyed', 'pgq_stamp_woken', 'pgq_step',
                'pgq_sweep', 'pgq_take_key', 'pgq_tell_ended', 'pgq_wait_for', 'pgq_waits',
                'pgq_wake', 'pgq_worker_key'
            ])
    LOOP
        EXECUTE 'DROP FUNCTION ' || v_function;
    END LOOP;
    FOR v_object IN
        SELECT c.oid FROM pg_class AS c
        WHERE c.relnamespace = v_schema
            AND c.relkind = 'r'
            AND c.relname = ANY(ARRAY[
                'pgq_meta', 'pgq_lanes', 'pgq_ready', 'pgq_deferred', 'pgq_blocked',
                'pgq_leases', 'pgq_attempts', 'pgq_locks', 'pgq_cancels', 'pgq_progress',
                'pgq_workers', 'pgq_queues', 'pgq_schedules', 'pgq_epoch', 'pgq_edges',
                'pgq_limits', 'pgq_holders', 'pgq_rates', 'pgq_batches'
            ])
    LOOP
        EXECUTE 'DROP TABLE ' || v_object;
    END LOOP;
END
$$;
DROP SEQUENCE IF EXISTS pgq_positions, pgq_lease_ids, pgq_idle, pgq_woken, pgq_waiting, pgq_flow,
    pgq_swept;
