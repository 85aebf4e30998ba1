-- Note that jobs belong together. Returns the batch's id.
INSERT INTO pgq_batches (job_ids, callback_id)
VALUES (:jobs::bigint [], :callback::bigint)
RETURNING batch_id;
