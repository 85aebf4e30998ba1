-- Make jobs ready that are due by :until. Returns how many.
SELECT pgq_promote('epoch'::timestamptz, :until::timestamptz, 10000) AS moved;
