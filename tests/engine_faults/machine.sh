# A machine of its own for one engine, as far as processes and mounts go: this shell is its first
# process, and with it everything below ends at once, as when somebody pulls the plug.
# Arguments: the folder, the bridge, the parent of control groups.
# While the file `off` is there the daemon stays down, and its containers live on.
set -eu
cd "$1"
# What a machine keeps in memory is gone when it starts again.
rm -rf run
mkdir -p run data
cat >containerd.toml <<END
version = 2
root = "$1/data/containerd"
state = "$1/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$1/run/containerd.sock"
END
echo '{}' >daemon.json
containerd --config containerd.toml >containerd.log 2>&1 &
while [ ! -S run/containerd.sock ]; do sleep 0.05; done
while :; do
    rm -f run/docker.pid
    # No rules for packets: the ports of containers go through docker-proxy.
    dockerd --config-file "$1/daemon.json" --containerd "$1/run/containerd.sock" \
        --data-root "$1/data/docker" --exec-root "$1/run/docker" --pidfile "$1/run/docker.pid" \
        --host "unix://$1/docker.sock" --bridge "$2" --cgroup-parent "/$3" \
        --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
        --max-download-attempts 1 >>dockerd.log 2>&1 || true
    while [ -e off ]; do sleep 0.05; done
    sleep 0.1
done
