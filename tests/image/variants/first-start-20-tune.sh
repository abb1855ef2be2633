# As timescaledb-tune: what it chose is at the end of postgresql.conf. One of them lockproof sets itself, one it does not.
cat >>"$PGDATA/postgresql.conf" <<'END'
shared_buffers = 200MB
work_mem = 7MB
max_worker_processes = 19
timescaledb.max_background_workers = 8
END
