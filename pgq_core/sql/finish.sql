-- Write the outcomes of one flush. Returns the refused jobs: 'gone' or 'busy'.
SELECT
    refused,
    reason
FROM pgq_finish(
    :worker, :shut, :shut_tokens, :open, :open_tokens, :leases, :jobs, :attempts, :outcomes,
    :started, :finished, :errors, :results, :lanes, :delays, :spent, :crashes, :keyed, :requeue
);
