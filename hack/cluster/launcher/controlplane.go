package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The control plane alone: etcd, API server and controller manager of an ordinary
// user, on loopback and free ports. Several run side by side, each in its folder.

var controlPlaneComponents = []string{"etcd", "kube-apiserver", "kube-controller-manager"}

const watchdogName = "watchdog"

type controlPlane struct {
	runner
	cache             cacheFolder
	parent            int
	controllerManager bool
}

func newControlPlane(folder string) *controlPlane {
	return &controlPlane{
		runner: runner{
			state: stateFolder(absolute(folder)), progress: newProgress(),
			advice: "the log above says why; the same command tries again on the same data, remove " + folder + " to start without",
		},
		cache: defaultCache(), controllerManager: true,
	}
}

// assets is the folder of binaries that somebody else provides, as for envtest.
func assets() string { return os.Getenv("KUBEBUILDER_ASSETS") }

// program finds a component's binary: in KUBEBUILDER_ASSETS, which need not have
// a controller manager, else ours. "" if nobody has it.
func (c *controlPlane) program(name string) string {
	if folder := assets(); folder != "" {
		if path := filepath.Join(folder, name); exists(path) {
			return path
		}
		if name != "kube-controller-manager" || !exists(c.cache.binary(name)) {
			return ""
		}
	}
	return c.cache.binary(name)
}

func (c *controlPlane) build(ctx context.Context) error {
	if assets() == "" {
		return builder{cache: c.cache, progress: c.progress}.binaries(ctx, controlPlaneTarget)
	}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if c.program(name) == "" {
			return &hintedError{problem: fmt.Sprintf("KUBEBUILDER_ASSETS=%s has no %s", assets(), name),
				hint: "unset it to use our own binaries, or fill it (etcd, kube-apiserver, kubectl, and kube-controller-manager if pods and garbage collection matter)"}
		}
	}
	return nil
}

func (c *controlPlane) running() bool {
	records, _ := recorded(c.state.run())
	if len(records) == 0 {
		return false
	}
	for _, id := range records {
		if !id.alive() {
			return false
		}
	}
	_, hasServer := records["kube-apiserver"]
	return hasServer
}

func (c *controlPlane) up(ctx context.Context) (err error) {
	release, err := lock(string(c.state), "cluster control-plane-up", 0)
	if err != nil {
		return err
	}
	defer release()
	if c.running() {
		c.progress.say("the control plane in %s is already up: nothing to do", c.state)
		return nil
	}
	if err := c.build(ctx); err != nil {
		return err
	}
	if err := c.teardown(); err != nil {
		return err
	}
	c.progress.started = time.Now() // what is usual does not include building
	defer func() {
		if err != nil {
			if stopError := c.teardown(); stopError != nil {
				c.progress.say("stopping what had started failed too: %v", stopError)
			}
		}
	}()
	for _, folder := range []string{"run", "log", "kubeconfig"} {
		if err := os.MkdirAll(c.state.path(folder), 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.state.path("etcd"), 0o700); err != nil {
		return err
	}
	// First of all: from here on nothing outlives the parent.
	if c.parent != 0 {
		if err := c.startWatchdog(); err != nil {
			return err
		}
	}
	for attempt := 1; ; attempt++ {
		err := c.bringAll(ctx)
		if err == nil {
			break
		}
		// A port was free when we asked and taken when the process wanted it.
		if attempt == 3 || ctx.Err() != nil || !portTaken(c.state) {
			return err
		}
		c.progress.say("a port was taken by somebody else meanwhile: once more with others")
		if err := c.stopComponents(); err != nil {
			return err
		}
	}
	c.progress.ready("the control plane is up", "4 s")
	return nil
}

func portTaken(state stateFolder) bool {
	for _, name := range controlPlaneComponents {
		if strings.Contains(strings.Join(lastLines(state.log(name), 15), "\n"), "address already in use") {
			return true
		}
	}
	return false
}

func (c *controlPlane) bringAll(ctx context.Context) error {
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	certificates, err := makePKI(c.state, "127.0.0.1", ports[0], []string{"admin", "kube-controller-manager"})
	if err != nil {
		return err
	}
	client := certificates.client()
	if err := c.bring(ctx, etcd(c.state, c.program("etcd"), ports[1], ports[2], "1 s")); err != nil {
		return err
	}
	arguments := append(apiserverArguments(c.state, "127.0.0.1", ports[0], ports[1]),
		"--authorization-mode=RBAC",
		// No endpoints for the Service `kubernetes`: they may not be loopback.
		"--endpoint-reconciler-type=none",
	)
	controllers := c.program("kube-controller-manager")
	if !c.controllerManager {
		controllers = ""
	}
	if controllers == "" {
		// Nobody makes service accounts, and no pod would be admitted without.
		arguments = append(arguments, "--disable-admission-plugins=ServiceAccount")
		c.progress.say("no kube-controller-manager: no garbage collection, no pods of StatefulSets, no service accounts")
	}
	err = c.bring(ctx, component{
		name: "kube-apiserver", program: c.program("kube-apiserver"), usual: "3 s", limit: 2 * time.Minute,
		arguments: arguments, ready: client.ready,
	})
	if err != nil || controllers == "" {
		return err
	}
	return c.bring(ctx, controllerManager(c.state, controllers, ports[3], client, "4 s"))
}

// Below what Linux gives to connections and to whoever listens on port 0 (32768 and up), and below the NodePorts:
// between our look at a port and its component's bind, no connection of anybody's can have taken it.
const firstPort, afterLastPort = 20_000, 30_000

// freePorts holds all of them at once, so that it does not find one twice.
func freePorts(count int) ([]string, error) {
	var ports []string
	for tries := 0; len(ports) < count; tries++ {
		port := strconv.Itoa(firstPort + rand.IntN(afterLastPort-firstPort))
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			if tries < 100 {
				continue
			}
			return nil, err
		}
		defer listener.Close()
		ports = append(ports, port)
	}
	return ports, nil
}

func (c *controlPlane) stopComponents() error {
	return errors.Join(
		c.stop(5*time.Second, "kube-controller-manager", "kube-apiserver"),
		c.stop(5*time.Second, "etcd"),
	)
}

func (c *controlPlane) teardown() error {
	if err := errors.Join(c.stopComponents(), c.stop(time.Second, watchdogName)); err != nil {
		return err
	}
	return os.RemoveAll(c.state.run())
}

func (c *controlPlane) down() error {
	if !exists(string(c.state)) {
		c.progress.say("there is no control plane in %s: nothing to do", c.state)
		return nil
	}
	release, err := lock(string(c.state), "cluster control-plane-down", time.Minute)
	if err != nil {
		return err
	}
	defer release()
	if err := c.teardown(); err != nil {
		return err
	}
	c.progress.ready("the control plane is down, its data stay in "+string(c.state), "1 s")
	return nil
}

// startWatchdog starts us again, detached, to outlive the parent for a moment.
func (c *controlPlane) startWatchdog() error {
	parent, err := identify(c.parent)
	if err != nil {
		return fmt.Errorf("--parent-pid %d: there is no such process", c.parent)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = c.start(component{
		name: watchdogName, program: self,
		arguments: []string{watchdogName, string(c.state), strconv.Itoa(parent.pid), strconv.FormatUint(parent.startTicks, 10)},
	})
	return err
}

// watch ends the components when the parent has died. It remembers them itself:
// a test that dies may have removed their folder, and the pid files with it.
func watch(state stateFolder, parentPid int, parentTicks uint64) error {
	parent := identity{pid: parentPid, startTicks: parentTicks, bootID: bootID()}
	known := map[identity]bool{}
	for {
		records, _ := recorded(state.run())
		for name, id := range records {
			if name != watchdogName && id.alive() {
				known[id] = true
			}
		}
		if !parent.alive() {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	fmt.Printf("%s the parent %d has ended: ending what it started\n", time.Now().Format(time.RFC3339), parentPid)
	// Whoever starts or stops this control plane at this moment goes first; and
	// once we have the lock, one more look for what was started last.
	if exists(string(state)) {
		release, err := lock(string(state), "cluster watchdog", 3*time.Minute)
		if err != nil {
			return err
		}
		defer release()
	}
	records, _ := recorded(state.run())
	for name, id := range records {
		if name != watchdogName {
			known[id] = true
		}
	}
	var left []identity
	for id := range known {
		if id.alive() {
			left = append(left, id)
		}
	}
	if err := stopAll(left, 3*time.Second); err != nil {
		return err
	}
	return os.RemoveAll(state.run())
}

// replaceWith runs a program in our place.
func replaceWith(program string, arguments, environment []string) error {
	path, err := exec.LookPath(program)
	if err != nil {
		return err
	}
	return syscall.Exec(path, append([]string{program}, arguments...), environment)
}
