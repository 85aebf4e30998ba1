-- Start jobs of a queue again, or of one entrypoint in it. Returns nothing.
UPDATE pgq_queues
SET paused_at = NULL
WHERE queue = :queue AND entrypoint = :entrypoint;
