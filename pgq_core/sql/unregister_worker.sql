-- Leave: the row of a process that holds nothing any more.
DELETE FROM pgq_workers AS w
WHERE
    w.worker_id = :worker
    AND NOT EXISTS (SELECT FROM pgq_leases AS l WHERE l.worker_id = w.worker_id);
