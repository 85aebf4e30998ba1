-- Remove every object of pgq from the schema that search_path names first, and nothing else.
DROP VIEW IF EXISTS pgq_job_states;
DO $$
DECLARE
    v_object regclass;
    v_function regprocedure;
BEGIN
    FOR v_object IN
        SELECT c.oid FROM pg_class AS c
        WHERE c.relnamespace = current_schema()::regnamespace
            AND c.relkind = 'r'
            AND c.relname = ANY(ARRAY[
                'pgq_meta', 'pgq_jobs', 'pgq_lanes', 'pgq_ready', 'pgq_deferred', 'pgq_blocked',
                'pgq_leases', 'pgq_attempts', 'pgq_locks', 'pgq_cancels', 'pgq_progress',
                'pgq_workers', 'pgq_queues', 'pgq_schedules', 'pgq_epoch', 'pgq_edges', 'pgq_limits',
                'pgq_holders', 'pgq_rates', 'pgq_batches'
            ])
    LOOP
        EXECUTE 'DROP TABLE ' || v_object;
    END LOOP;
    FOR v_function IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.pronamespace = current_schema()::regnamespace AND p.proname ~ '^pgq_'
    LOOP
        EXECUTE 'DROP FUNCTION ' || v_function;
    END LOOP;
END
$$;
DROP SEQUENCE IF EXISTS pgq_positions, pgq_lease_ids, pgq_idle, pgq_woken, pgq_waiting, pgq_flow;
