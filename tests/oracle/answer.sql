-- All that was noted, as one document.
SELECT json_build_object(
    'relations', (SELECT json_agg(json_build_object('fact', fact, 'name', name, 'parent', parent, 'kind', kind))
                    FROM oracle.before),
    'locks', (SELECT json_agg(json_build_object('fact', fact, 'name', name, 'mode', mode)) FROM oracle.locks),
    'witnessed', (SELECT json_agg(json_build_object('fact', w.fact, 'name', b.name, 'mode', w.mode))
                    FROM oracle.witnessed w
                    LEFT JOIN oracle.before b USING (fact, oid)
                    LEFT JOIN pg_class c ON c.oid = w.oid
                   WHERE w.mode <> '' AND c.relnamespace IS DISTINCT FROM 'oracle'::regnamespace),
    'traces', (SELECT json_agg(json_build_object('fact', fact, 'name', name, 'rewritten', rewritten,
                                                 'scanned', scanned))
                 FROM oracle.traces))
