-- Hand over what hand-over missed, and release what following missed: a slice from :place on (NULL:
-- the beginning), at most once in :apart milliseconds over all processes. Returns the next place and
-- how many jobs became ready.
SELECT
    s.swept -> 'place' AS place,
    (s.swept ->> 'moved')::integer AS moved
FROM pgq_sweep(:place::text::jsonb, :apart::integer) AS s (swept);
