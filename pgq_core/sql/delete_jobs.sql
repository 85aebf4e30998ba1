-- Delete finished jobs with their history. Returns how many went.
SELECT pgq_delete(:jobs) AS deleted;
