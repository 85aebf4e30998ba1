-- Send a word to every worker.
SELECT pg_notify(pgq_channel(0), :message);
