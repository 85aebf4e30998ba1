-- Write the outcomes of one flush. Returns the refused jobs: 'gone' or 'busy'.
SELECT
    refused,
    reason
FROM pgq_finish(
    :worker, :shut::bigint[], :shut_tokens::bigint[], :open::bigint[], :open_tokens::bigint[],
    :leases::bigint[], :jobs::bigint[], :attempts::integer[], :started::double precision[],
    :finished::double precision[], :outcomes::text[], :errors::text[],
    :results::text[], :lanes::bigint[], :delays::double precision[], :spent::smallint[],
    :crashes::smallint[], :keyed, :requeue,
    :limited
);
