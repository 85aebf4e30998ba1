-- Delete batches whose jobs are gone among the next :limit. Returns how far it got (NULL: at the end)
-- and how many went.
SELECT
    last_id,
    pruned
FROM pgq_prune_batches(:from_id, :limit);
