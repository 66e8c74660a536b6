// Command cluster starts and stops a real Kubernetes on one machine, without
// Docker and without an image registry. cluster.sh installs what it needs, builds
// it and calls it. It must never end a process that it did not start, nor touch
// anything outside its state and cache folders that it did not make.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

const help = `usage: cluster.sh COMMAND [ARGUMENTS]

A real Kubernetes 1.34 on this machine, without Docker and without a registry.

The full node (root): pods, volumes, Services, DNS
  up                     start it; a quick no-op if it is up, a clean start after a
                         crash. Prints the path of the kubeconfig. 6 s; the first
                         time it builds everything, which takes about 8 minutes
  down                   stop it and remove every process, mount, interface, route
                         and nft table of it. Data stay: objects, volumes, images
  purge                  down, and remove the data too (not the cache)
  status                 what runs, since when, how big; exit 1 if it is not up
  kubeconfig             the path of the administrator's kubeconfig
  kubectl ARGS...        kubectl as the administrator

Images
  build-image TAG CONTEXT DOCKERFILE [NAME=VALUE | --FLAG=VALUE]...
                         build a Dockerfile on PYTHON_IMAGE=localhost/python:3.11 and
                         give it to the cluster. Pods use it by TAG with
                         imagePullPolicy: Never or IfNotPresent. NAME=VALUE is a build
                         argument, --FLAG=VALUE goes to buildah
  load-image ARCHIVE     import a docker-archive or OCI archive
  base-image             make the base image localhost/python:3.11 again

The control plane alone (no root, no pods run): etcd, API server, controller manager
  control-plane-up DIR [--parent-pid PID] [--no-controller-manager]
                         start one on free ports of 127.0.0.1, with its state in DIR.
                         Prints the path of its kubeconfig. It ends when process PID
                         does. Several run side by side. With KUBEBUILDER_ASSETS set,
                         the binaries are taken from there. 5 s
  control-plane-down DIR stop it; its data stay in DIR

  build [--check] [control-plane | chart-tools | litestream | argocd]
                         build the binaries and the base image, or only what the
                         control plane alone needs, or helm and promtool alone, or
                         Litestream and an S3 for it, or Argo CD alone; --check
                         builds nothing and exits with 3 if a binary must be built

Standard output holds only results, progress goes to standard error.

Environment
  TRADINGBOT_CLUSTER_STATE  the full node's state (/var/lib/tradingbot-cluster)
  TRADINGBOT_CACHE          binaries and images
                            (${XDG_CACHE_HOME:-~/.cache}/tradingbot-operator)
  KUBEBUILDER_ASSETS        binaries for the control plane alone
`

var errUsage = errors.New("usage")

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	err := execute(ctx, os.Args[1:])
	var code exitCode
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(int(code))
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "%v\n\n%s", err, help)
		os.Exit(2)
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "\ninterrupted")
		os.Exit(130)
	default:
		report(err)
		os.Exit(1)
	}
}

// exitCode ends the program without a message: the command has said it all.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func usage(format string, arguments ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, arguments...))
}

func execute(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 {
		return usage("which command?")
	}
	command, rest := arguments[0], arguments[1:]
	switch command {
	case "help", "--help", "-h":
		fmt.Print(help)
		return nil
	case "up", "down", "purge", "status", "kubeconfig", "base-image":
		if len(rest) > 0 {
			return usage("%s takes no arguments", command)
		}
		return executeNode(ctx, command)
	case "kubectl":
		n := newNode()
		return replaceWith(n.cache.binary("kubectl"), rest, append(os.Environ(), "KUBECONFIG="+n.state.adminKubeconfig()))
	case "build":
		return executeBuild(ctx, rest)
	case "load-image":
		if len(rest) != 1 {
			return usage("load-image ARCHIVE")
		}
		return newImages().load(ctx, absolute(rest[0]))
	case "build-image":
		if len(rest) < 3 {
			return usage("build-image TAG CONTEXT DOCKERFILE [NAME=VALUE]...")
		}
		return newImages().buildImage(ctx, rest[0], absolute(rest[1]), absolute(rest[2]), rest[3:])
	case "control-plane-up", "control-plane-down":
		return executeControlPlane(ctx, command, rest)
	case watchdogName:
		if len(rest) != 3 {
			return usage("watchdog is not for people")
		}
		pid, err := strconv.Atoi(rest[1])
		if err != nil {
			return err
		}
		ticks, err := strconv.ParseUint(rest[2], 10, 64)
		if err != nil {
			return err
		}
		return watch(stateFolder(rest[0]), pid, ticks)
	}
	return usage("there is no command %q", command)
}

func newImages() images {
	return images{cache: defaultCache(), state: defaultState(), progress: newProgress()}
}

func executeNode(ctx context.Context, command string) error {
	n := newNode()
	switch command {
	case "up":
		if err := n.up(ctx); err != nil {
			return err
		}
		fmt.Println(n.state.adminKubeconfig())
	case "down":
		return n.down(ctx)
	case "purge":
		return n.purge(ctx)
	case "status":
		if !n.status(ctx) {
			return exitCode(1)
		}
	case "kubeconfig":
		if !exists(n.state.adminKubeconfig()) {
			return &hintedError{problem: "there is no cluster in " + string(n.state), hint: "`cluster.sh up` makes one"}
		}
		fmt.Println(n.state.adminKubeconfig())
	case "base-image":
		return newImages().makeBase(ctx, true)
	}
	return nil
}

func executeBuild(ctx context.Context, arguments []string) error {
	check, part, targets := false, false, allTargets
	for _, argument := range arguments {
		switch argument {
		case "--check":
			check = true
		case "control-plane":
			part, targets = true, []target{controlPlaneTarget}
		case "chart-tools":
			part, targets = true, chartTargets
		case "litestream":
			part, targets = true, litestreamTargets
		case "argocd":
			part, targets = true, []target{argocdTarget}
		default:
			return usage("build [--check] [control-plane | chart-tools | litestream | argocd]")
		}
	}
	b := builder{cache: defaultCache(), progress: newProgress()}
	if check {
		stale, _, err := b.stale(targets)
		if err == nil && len(stale) > 0 {
			return exitCode(3)
		}
		return err
	}
	if part {
		return b.binaries(ctx, targets...)
	}
	return newNode().build(ctx)
}

func executeControlPlane(ctx context.Context, command string, arguments []string) error {
	var folder string
	parent, controllerManager := 0, true
	for i := 0; i < len(arguments); i++ {
		name, value, hasValue := strings.Cut(arguments[i], "=")
		switch {
		case name == "--parent-pid" && command == "control-plane-up":
			if !hasValue {
				i++
				if i == len(arguments) {
					return usage("--parent-pid PID")
				}
				value = arguments[i]
			}
			pid, err := strconv.Atoi(value)
			if err != nil || pid <= 0 {
				return usage("--parent-pid wants a process id, not %q", value)
			}
			parent = pid
		case name == "--no-controller-manager" && command == "control-plane-up":
			controllerManager = false
		case strings.HasPrefix(name, "-") || folder != "":
			return usage("%s does not know %q", command, arguments[i])
		default:
			folder = arguments[i]
		}
	}
	if folder == "" {
		return usage("%s DIR", command)
	}
	c := newControlPlane(folder)
	c.parent, c.controllerManager = parent, controllerManager
	if command == "control-plane-down" {
		return c.down()
	}
	if err := c.up(ctx); err != nil {
		return err
	}
	fmt.Println(c.state.adminKubeconfig())
	return nil
}
