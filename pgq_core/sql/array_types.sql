-- One value of every array type that our statements send or bring.
SELECT
    NULL::boolean [] AS booleans,
    NULL::bytea [] AS byteas,
    NULL::smallint [] AS smallints,
    NULL::integer [] AS integers,
    NULL::bigint [] AS bigints,
    NULL::double precision [] AS doubles,
    NULL::text [] AS texts,
    NULL::timestamptz [] AS moments;
