-- Delete a schedule. Returns its name.
DELETE FROM pgq_schedules
WHERE name = :name
RETURNING name;
