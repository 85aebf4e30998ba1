-- Put failed jobs back, due :seconds apart. Returns how many.
SELECT pgq_redrive(:seconds, :entrypoint, :queue, :limit) AS redriven;
