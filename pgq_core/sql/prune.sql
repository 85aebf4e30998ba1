-- Delete finished jobs among the next :limit bodies. Returns how far it got and how many went.
SELECT
    last_id,
    pruned
FROM pgq_prune(:from_id, :limit, :succeeded, :failed, :cancelled);
