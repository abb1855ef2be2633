# Which server an image has.
exec "$bin/postgres" --version
