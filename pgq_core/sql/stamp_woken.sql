-- An idle worker's wake-up has arrived.
SELECT pgq_stamp_woken();
