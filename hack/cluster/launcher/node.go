package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The full node: a cluster of one machine, with real pods.

// nodeComponents in the order of the status table.
var nodeComponents = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler",
	"containerd", "kubelet", "kube-proxy", "coredns", "local-path-provisioner",
}

type node struct {
	runner
	cache cacheFolder
}

func newNode() *node {
	return &node{cache: defaultCache(), runner: runner{
		state: defaultState(), progress: newProgress(),
		advice: "the log above says why; `cluster.sh up` tries again on the same data, `cluster.sh purge` removes them",
	}}
}

// marker says that a folder is a state folder of ours: purge removes no other.
func (n *node) marker() string { return n.state.path(".tradingbot-cluster") }

// dead lists the components that should run and do not.
func (n *node) dead() (dead []string, any bool) {
	records, _ := recorded(n.state.run())
	for _, name := range nodeComponents {
		id, found := records[name]
		any = any || found
		if !found || !id.alive() {
			dead = append(dead, name)
		}
	}
	return dead, any
}

func (n *node) requireRoot() error {
	if os.Geteuid() != 0 {
		return &hintedError{problem: "the full node needs root (containers, a bridge, nftables)",
			hint: "run it as root, or use `cluster.sh control-plane-up DIR`, which needs no root and has no pods"}
	}
	return nil
}

func (n *node) up(ctx context.Context) (err error) {
	if err := n.requireRoot(); err != nil {
		return err
	}
	if socket := n.state.containerdSocket() + ".ttrpc"; len(socket) > 107 {
		return fmt.Errorf("the state folder's path is too long for a Unix socket: %s", socket)
	}
	release, err := lock(string(n.state), "cluster up", 0)
	if err != nil {
		return err
	}
	defer release()
	dead, any := n.dead()
	if len(dead) == 0 {
		if n.alreadyUp(ctx) {
			n.progress.say("the cluster is already up: nothing to do")
			return nil
		}
		n.progress.say("all processes are there but the API server does not answer: starting again")
	} else if any {
		n.progress.say("not running: %s: taking down what is left of the last run", strings.Join(dead, ", "))
	}
	// Always: without pid files, too, a crash may have left mounts or a bridge.
	if err := n.teardown(); err != nil {
		return err
	}
	if err := n.build(ctx); err != nil {
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		n.progress.say("up failed: taking down what it had started (logs stay in %s)", n.state.path("log"))
		if stopError := n.teardown(); stopError != nil {
			n.progress.say("and that failed too: %v", stopError)
		}
	}()
	started := time.Now()
	certificates, err := n.prepare()
	if err != nil {
		return err
	}
	n.progress.ready("certificates, configuration, network ready", "0.1 s")
	client := certificates.client()
	err = parallel(ctx,
		func(ctx context.Context) error {
			if err := n.bring(ctx, n.containerd()); err != nil {
				return err
			}
			return n.importArchives(ctx)
		},
		func(ctx context.Context) error {
			if err := n.bring(ctx, etcd(n.state, n.cache.binary("etcd"), etcdClientPort, etcdPeerPort, "1 s")); err != nil {
				return err
			}
			return n.bring(ctx, n.apiserver(client))
		},
	)
	if err != nil {
		return err
	}
	err = parallel(ctx,
		func(ctx context.Context) error {
			return n.bring(ctx, controllerManager(n.state, n.cache.binary("kube-controller-manager"), controllerManagerPort, client, "4 s"))
		},
		func(ctx context.Context) error { return n.bring(ctx, n.scheduler()) },
		func(ctx context.Context) error { return n.bring(ctx, n.proxy()) },
		func(ctx context.Context) error { return n.bring(ctx, n.kubelet(client, started)) },
		func(ctx context.Context) error { return n.services(ctx, client, certificates) },
	)
	if err != nil {
		return err
	}
	n.progress.ready("the cluster is up", "4 s, 8 s with images to import")
	return nil
}

// alreadyUp asks the running API server with the credentials that are on disk.
func (n *node) alreadyUp(ctx context.Context) bool {
	return run(n.cache.binary("kubectl"), "--kubeconfig="+n.state.adminKubeconfig(), "--request-timeout=3s", "get", "--raw=/readyz") == nil
}

// build makes what is missing: binaries, then the images that need them.
func (n *node) build(ctx context.Context) error {
	b := builder{cache: n.cache, progress: n.progress}
	if err := b.binaries(ctx, allTargets...); err != nil {
		return err
	}
	i := images{cache: n.cache, state: n.state, progress: n.progress}
	if err := i.makePause(); err != nil {
		return err
	}
	return i.makeBase(ctx, false)
}

func (n *node) prepare() (*pki, error) {
	for _, folder := range []string{"run", "log", "config", "containerd", "kubelet", "images"} {
		if err := os.MkdirAll(n.state.path(folder), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(n.state.path("etcd"), 0o700); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(n.state.path("kubeconfig"), 0o700); err != nil {
		return nil, err
	}
	if err := writeFile(n.marker(), []byte("state of hack/cluster: `cluster.sh purge` removes this folder\n"), 0o644); err != nil {
		return nil, err
	}
	users := []string{"admin", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"}
	certificates, err := makePKI(n.state, nodeAddress, apiserverPort, users)
	if err != nil {
		return nil, err
	}
	if err := writeConfiguration(n.state); err != nil {
		return nil, err
	}
	if err := makeCgroups(); err != nil {
		return nil, err
	}
	return certificates, networkUp(n.state)
}

func (n *node) containerd() component {
	return component{
		name: "containerd", program: "containerd", usual: "0.3 s",
		arguments: []string{"--config=" + n.state.config("containerd.toml")},
		ready: func(ctx context.Context) error {
			connection, err := (&net.Dialer{}).DialContext(ctx, "unix", n.state.containerdSocket())
			if err != nil {
				return err
			}
			return connection.Close()
		},
	}
}

func (n *node) apiserver(client *apiClient) component {
	return component{
		name: "kube-apiserver", program: n.cache.binary("kube-apiserver"), usual: "3 s", limit: 2 * time.Minute,
		arguments: append(apiserverArguments(n.state, nodeAddress, apiserverPort, etcdClientPort),
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--kubelet-client-certificate="+n.state.pki("apiserver-kubelet-client.crt"),
			"--kubelet-client-key="+n.state.pki("apiserver-kubelet-client.key"),
			"--kubelet-certificate-authority="+n.state.pki("ca.crt"),
			// The machine's resolver does not know the node's name.
			"--kubelet-preferred-address-types=InternalIP",
			"--audit-policy-file="+n.state.config("audit-policy.yaml"),
			"--audit-log-path="+n.state.path("log", "audit.log"), "--audit-log-maxsize=100", "--audit-log-maxbackup=2",
		),
		ready: client.ready,
	}
}

func (n *node) scheduler() component {
	config := n.state.kubeconfig("kube-scheduler")
	return component{
		name: "kube-scheduler", program: n.cache.binary("kube-scheduler"), usual: "4 s",
		arguments: []string{
			"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
			"--leader-elect=false", "--bind-address=127.0.0.1",
			"--tls-cert-file=" + n.state.pki("kube-scheduler.crt"), "--tls-private-key-file=" + n.state.pki("kube-scheduler.key"),
			"--kube-api-qps=200", "--kube-api-burst=400",
		},
		ready: httpsReady("https://127.0.0.1:10259/readyz", n.state.pki("ca.crt")),
	}
}

func (n *node) proxy() component {
	return component{
		name: "kube-proxy", program: n.cache.binary("kube-proxy"), usual: "4 s",
		arguments: []string{
			"--kubeconfig=" + n.state.kubeconfig("kube-proxy"), "--hostname-override=" + nodeName,
			"--proxy-mode=nftables", "--cluster-cidr=" + podRange,
			"--metrics-bind-address=127.0.0.1:10249", "--healthz-bind-address=127.0.0.1:10256",
			// Leave the machine's conntrack sysctls alone.
			"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
		},
		ready: httpReady("http://127.0.0.1:10256/livez"),
	}
}

func (n *node) kubelet(client *apiClient, started time.Time) component {
	return component{
		name: "kubelet", program: n.cache.binary("kubelet"), usual: "4 s", limit: 90 * time.Second,
		arguments: []string{
			"--config=" + n.state.config("kubelet.yaml"), "--kubeconfig=" + n.state.kubeconfig("kubelet"),
			"--root-dir=" + n.state.path("kubelet"), "--cert-dir=" + n.state.pki("kubelet-generated"),
			"--hostname-override=" + nodeName, "--node-ip=" + nodeAddress,
		},
		ready: func(ctx context.Context) error { return client.nodeReady(ctx, started) },
	}
}

// services are what runs beside the cluster as upstream's own service accounts.
func (n *node) services(ctx context.Context, client *apiClient, certificates *pki) error {
	err := await(ctx, "applying the system's objects", time.Minute, func(context.Context) error {
		return run(n.cache.binary("kubectl"), "--kubeconfig="+n.state.adminKubeconfig(), "apply", "--server-side",
			"--force-conflicts", "--field-manager=tradingbot-cluster", "--filename="+n.state.config("system.yaml"))
	})
	if err != nil {
		return err
	}
	for user, account := range map[string][2]string{
		"coredns":    {"kube-system", "coredns"},
		"local-path": {"local-path-storage", "local-path-provisioner-service-account"},
	} {
		token, err := client.token(ctx, account[0], account[1], certificateLife)
		if err != nil {
			return err
		}
		if err := certificates.tokenKubeconfig(user, token); err != nil {
			return err
		}
	}
	return parallel(ctx,
		func(ctx context.Context) error {
			return n.bring(ctx, component{
				name: "coredns", program: n.cache.binary("coredns"), usual: "4 s",
				arguments: []string{"-conf", n.state.config("Corefile")},
				ready:     httpReady("http://" + corednsReady + "/ready"),
			})
		},
		func(ctx context.Context) error {
			born := time.Now()
			return n.bring(ctx, component{
				name: "local-path-provisioner", program: n.cache.binary("local-path-provisioner"), usual: "4 s",
				arguments: []string{
					"start", "--config=" + n.state.config("local-path/config.json"),
					"--kubeconfig=" + n.state.kubeconfig("local-path"), "--namespace=local-path-storage",
					"--helper-image=" + baseImage, "--helper-pod-file=" + n.state.config("local-path/helperPod.yaml"),
				},
				// It has no health endpoint: it is well if it says so in its log and lives.
				ready: func(context.Context) error {
					contents, err := os.ReadFile(n.state.log("local-path-provisioner"))
					if err == nil && strings.Contains(string(contents), "Started provisioner controller") {
						return nil
					}
					return fmt.Errorf("%s old, has not started its controller", time.Since(born).Round(time.Millisecond))
				},
			})
		},
	)
}

// importArchives gives containerd what it does not have yet: our two images, and
// those that were built while the cluster was down.
func (n *node) importArchives(ctx context.Context) error {
	i := images{cache: n.cache, state: n.state, progress: n.progress}
	for _, image := range []struct{ tag, name string }{{pauseImage, "pause"}, {baseImage, "base"}} {
		if err := i.importOnce(ctx, image.tag, n.cache.archive(image.name)); err != nil {
			return err
		}
	}
	return i.importPending(ctx)
}

func (n *node) down(context.Context) error {
	if !exists(string(n.state)) {
		n.progress.say("there is no cluster in %s: nothing to do", n.state)
		return nil
	}
	if err := n.requireRoot(); err != nil {
		return err
	}
	release, err := lock(string(n.state), "cluster down", time.Minute)
	if err != nil {
		return err
	}
	defer release()
	if err := n.teardown(); err != nil {
		return err
	}
	n.progress.say("the cluster is down, its data stay in %s (usually 3 s)", n.state)
	return nil
}

// teardown ends everything of this state folder, in whatever condition it is.
func (n *node) teardown() error {
	// First who would start containers again, then containers, while they can
	// still reach the API server and DNS; etcd last, it holds what the others say.
	errs := []error{
		n.stop(3*time.Second, "kubelet", "kube-controller-manager", "kube-scheduler", "local-path-provisioner"),
		stopContainers(2 * time.Second),
		stopAll(shims(n.state), 0),
		n.stop(5*time.Second, "containerd", "kube-proxy", "coredns", "kube-apiserver"),
		n.stop(5*time.Second, "etcd"),
	}
	// Of a containerd that was killed while it started one.
	errs = append(errs, stopAll(shims(n.state), 0), unmountBelow(string(n.state)))
	networkDown()
	removeCgroups()
	removeShimSockets(n.state)
	removeLinks(n.state)
	restoreSysctls(n.state.path("sysctl.json"))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.RemoveAll(n.state.run())
}

func (n *node) purge(ctx context.Context) error {
	if !exists(string(n.state)) {
		n.progress.say("there is no cluster in %s: nothing to do", n.state)
		return nil
	}
	if entries, err := os.ReadDir(string(n.state)); err == nil && len(entries) > 1 && !exists(n.marker()) {
		return fmt.Errorf("%s is not a state folder of this program (%s is missing): not removing it", n.state, filepath.Base(n.marker()))
	}
	if err := n.down(ctx); err != nil {
		return err
	}
	release, err := lock(string(n.state), "cluster purge", time.Minute)
	if err != nil {
		return err
	}
	defer release()
	if left := mountsBelow(string(n.state)); len(left) > 0 {
		return fmt.Errorf("not removing %s: still mounted below it: %s", n.state, strings.Join(left, ", "))
	}
	if err := os.RemoveAll(string(n.state)); err != nil {
		return err
	}
	n.progress.say("removed %s (binaries and images stay in %s)", n.state, n.cache)
	return nil
}
