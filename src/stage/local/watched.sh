# Runs a program that must not outlive whoever asked for it: standard input is a pipe that ends with
# the asker, kill -9 included. Then the program is told to end, and tells its own children.
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{ cat <&3; kill -TERM "$child"; } >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$child"
status=$?
# The number may soon be another's.
kill "$watch" 2>/dev/null
exit "$status"
