-- Pause or resume a schedule; a resumed one is planned anew. Returns its name.
UPDATE pgq_schedules
SET
    paused_at = CASE WHEN :paused THEN coalesce(paused_at, clock_timestamp()) END,
    next_at = CASE WHEN :paused THEN next_at END
WHERE name = :name
RETURNING name;
