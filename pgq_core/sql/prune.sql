-- Delete finished jobs among the next :limit bodies. Returns how far it got (NULL: at the end), how
-- many went, and whether any body was old enough to go.
SELECT
    last_id,
    pruned,
    old
FROM pgq_prune(:from_id, :limit, :succeeded, :failed, :cancelled);
