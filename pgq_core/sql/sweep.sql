-- Hand over what hand-over missed, and release what following missed. Returns nothing.
SELECT pgq_sweep();
