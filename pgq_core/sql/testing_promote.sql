-- Move deferred jobs to ready that are due by :until (NULL: those whose time was set to -infinity).
-- Returns how many.
SELECT pgq_promote('-infinity', coalesce(:until::timestamptz, '-infinity'), 10000) AS moved;
