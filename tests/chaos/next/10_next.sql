-- What a release after this one might bring, as CONTRIBUTING.md demands it: nothing is dropped, no
-- signature changes, columns have defaults.
ALTER TABLE pgq_jobs ADD COLUMN tenant text;
ALTER TABLE pgq_attempts ADD COLUMN host text NOT NULL DEFAULT '';
ALTER TABLE pgq_workers ADD COLUMN release integer NOT NULL DEFAULT 1;
CREATE TABLE pgq_tenants (
    tenant text PRIMARY KEY,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION pgq_tenant_depth(p_tenant text)
RETURNS bigint LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
SELECT count(*) FROM pgq_jobs AS j INNER JOIN pgq_ready AS r ON r.job_id = j.id
WHERE j.tenant = p_tenant
$$;
