-- Say that somebody waits for results for the next :ms milliseconds.
SELECT pgq_expect(:ms);
