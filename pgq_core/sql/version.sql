-- The installed version of the schema; NULL when pgq is not installed.
SELECT m.value::integer AS version FROM pgq_meta AS m WHERE m.key = 'version';
