-- Say that somebody waits for results for the next :ms milliseconds. Returns the channel on which the
-- ids of jobs that have ended are said.
SELECT
    pgq_expect(:ms) AS said,
    pgq_channel(-1) AS channel;
