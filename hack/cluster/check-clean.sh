#!/usr/bin/env bash
# Proves that a stopped cluster left nothing on the machine: lists every process,
# mount, namespace, interface, route, nft table, cgroup, socket and link of it, and
# exits with 1 if there is any.
#   check-clean.sh       the full node
#   check-clean.sh DIR   a control plane whose state is in DIR
set -euo pipefail

state=${1:-${TRADINGBOT_CLUSTER_STATE:-/var/lib/tradingbot-cluster}}
[[ $state == /* ]] || state=$PWD/$state
state=${state%/}
cache=${TRADINGBOT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tradingbot-operator}
node=yes
if [[ ${1:-} ]]; then node=''; fi
found=0

leftovers() { # title; the lines on standard input
    local line title=$1
    while IFS= read -r line; do
        [[ $line ]] || continue
        found=$((found + 1))
        printf '%-10s %s\n' "$title" "$line"
    done
}

processes() {
    local folder pid arguments program
    for folder in /proc/[0-9]*; do
        pid=${folder#/proc/}
        arguments=$( (tr '\0' ' ' <"$folder/cmdline") 2>/dev/null) || continue
        program=$(readlink "$folder/exe" 2>/dev/null) || continue # a zombie or a kernel thread has none
        # The state folder on the command line of one of the cluster's programs: an
        # editor or a `tail -f` on one of its files is not the cluster's.
        [[ $arguments == *"$state/"* || $arguments == *"$state "* ]] || continue
        case ${program% (deleted)} in
        */etcd | */kube-* | */kubelet | */controlplane | */coredns | */local-path-provisioner | */containerd* | */runc | */cluster)
            printf '%s %s\n' "$pid" "${arguments:0:150}"
            ;;
        esac
    done
}

mounts() { # folders...
    local folder
    for folder in "$@"; do
        awk -v folder="$folder" '$5 == folder || index($5, folder "/") == 1 { print $5, "(" $(NF-2) ")" }' /proc/self/mountinfo
    done
}

cgroups() {
    local folder
    for folder in /sys/fs/cgroup/tradingbot-cluster /sys/fs/cgroup/*/tradingbot-cluster; do
        if [[ -d $folder ]]; then
            printf '%s, %s processes\n' "$folder" "$(find "$folder" -name cgroup.procs -exec cat {} + | wc -l)"
        fi
    done
}

links() {
    find "$state/run" -maxdepth 1 2>/dev/null || true
    [[ $node ]] || return 0
    find /var/log/containers -type l -lname "$state/*" 2>/dev/null || true
    find /var/lib/cni/results -name 'tradingbot-cluster-*' 2>/dev/null || true
}

leftovers process < <(processes)
leftovers mount < <(mounts "$state" "$cache/buildah")
leftovers file < <(links)

if [[ $node ]]; then
    leftovers cgroup < <(cgroups)
    if [[ $(id -u) != 0 ]]; then
        echo 'not root: nft tables and foreign processes are not checked' >&2
    fi
    if command -v ip >/dev/null; then
        leftovers interface < <(ip -oneline link show | grep -E '^[0-9]+: cni0[:@]|master cni0|tradingbot-cluster' || true)
        leftovers route < <(ip route show table all | grep -E '(^|[ /])10\.(244|96)\.' || true)
        leftovers netns < <(ip netns list 2>/dev/null | grep '^cni-' || true)
    fi
    if command -v nft >/dev/null && [[ $(id -u) == 0 ]]; then
        leftovers nft < <(nft list tables | grep -E 'tradingbot_cluster|kube-proxy' || true)
    fi
    # Shims listen outside the state folder; a machine's own containerd does, too.
    if ! pgrep -x containerd >/dev/null 2>&1; then
        leftovers socket < <(find /run/containerd -type s 2>/dev/null || true)
    fi
    if command -v ss >/dev/null; then
        leftovers listener < <(ss -Hltnp 2>/dev/null | grep -E '10\.244\.0\.1:|:(12379|12380|10248|10249|10256|10257|10259|18080|18181) ' || true)
    fi
fi

if ((found)); then
    printf '\n%d leftovers of %s\n' "$found" "$state"
    exit 1
fi
echo "clean: nothing of $state is left running, mounted or configured"
