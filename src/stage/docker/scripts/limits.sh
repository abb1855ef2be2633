# What this container may use, one line for each bound that the kernel tells of: that of its own control group, of those
# around it, and of the machine. Both versions of control groups: `max` and a number near 2^63 are none.
bounds_of_group() {
    group=$2
    while :; do
        for file in "$1$group/memory.max" "$1$group/memory.limit_in_bytes"; do
            if [ -r "$file" ]; then echo "memory $(cat "$file")"; fi
        done
        if [ -r "$1$group/cpu.max" ]; then echo "cpus $(cat "$1$group/cpu.max")"; fi
        if [ -r "$1$group/cpu.cfs_quota_us" ]; then
            echo "cpus $(cat "$1$group/cpu.cfs_quota_us") $(cat "$1$group/cpu.cfs_period_us")"
        fi
        case $group in
        /?*) group=${group%/*} ;;
        *) break ;;
        esac
    done
}
bounds() {
    while IFS=: read -r _ controllers path; do
        case ",$controllers," in
        ,,) bounds_of_group /sys/fs/cgroup "$path" ;;
        *,memory,*) bounds_of_group /sys/fs/cgroup/memory "$path" ;;
        *,cpu,*) bounds_of_group /sys/fs/cgroup/cpu "$path" ;;
        esac
    done </proc/self/cgroup
    echo "cpus $(nproc)00000 100000"
    echo "memory $(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
    echo "shm $(df -Pk /dev/shm | sed -n '2s/^[^ ]*  *\([0-9]*\) .*/\1/p') kB"
}
