package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func run(program string, arguments ...string) error {
	output, err := exec.Command(program, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %v: %s", program, strings.Join(arguments, " "), err, bytes.TrimSpace(output))
	}
	return nil
}

// Sysctls that we or the kubelet change, and put back when the cluster goes down.
var sysctls = []string{
	"net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables",
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// A routing protocol number of our own, to delete our routes and no others.
const routeProtocol = "196"

func sysctlPath(name string) string { return filepath.Join("/proc/sys", name) }

func saveSysctls(file string) error {
	if exists(file) {
		return nil // of a run that crashed: those are the machine's own values
	}
	values := map[string]string{}
	for _, name := range sysctls {
		if value, err := os.ReadFile(sysctlPath(name)); err == nil {
			values[name] = strings.TrimSpace(string(value))
		}
	}
	contents, err := json.Marshal(values)
	if err != nil {
		return err
	}
	return writeFile(file, contents, 0o644)
}

func restoreSysctls(file string) {
	contents, err := os.ReadFile(file)
	if err != nil {
		return
	}
	values := map[string]string{}
	if json.Unmarshal(contents, &values) == nil {
		for name, value := range values {
			_ = os.WriteFile(sysctlPath(name), []byte(value), 0)
		}
	}
	_ = os.Remove(file)
}

// Nothing of the cluster leaves the machine and nothing enters: traffic of pods
// to anything but the cluster is refused at once (not dropped, which would look
// like a slow network), and the cluster's addresses exist on no other interface.
const firewall = `
table inet %[1]s
delete table inet %[1]s
table inet %[1]s {
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifname != { "%[2]s", "lo" } ip saddr { %[3]s, %[4]s } drop
    iifname != { "%[2]s", "lo" } ip daddr { %[3]s, %[4]s } drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "%[2]s" ip daddr != %[3]s reject
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "%[2]s" oifname != "%[2]s" reject
    oifname "%[2]s" iifname != "%[2]s" drop
  }
  chain postrouting {
    type filter hook postrouting priority srcnat + 10; policy accept;
    oifname != { "%[2]s", "lo" } ip daddr { %[3]s, %[4]s } drop
  }
}
`

// networkUp makes the bridge before any pod does, so that our processes can bind
// its address; the CNI plugin takes it as it is.
func networkUp(state stateFolder) error {
	if !exists("/proc/sys/net/bridge") {
		if err := run("modprobe", "br_netfilter"); err != nil {
			return &hintedError{problem: "the kernel has no bridge netfilter: " + err.Error(),
				hint: "load the module br_netfilter on the host; in a container, start the cluster outside of it"}
		}
	}
	if err := saveSysctls(state.path("sysctl.json")); err != nil {
		return err
	}
	// Replies between two pods on the bridge must pass netfilter to be translated back.
	for name, value := range map[string]string{"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"} {
		if err := os.WriteFile(sysctlPath(name), []byte(value), 0); err != nil {
			return err
		}
	}
	if err := run("ip", "link", "add", bridgeName, "type", "bridge"); err != nil {
		return &hintedError{problem: fmt.Sprintf("the bridge %s: %v", bridgeName, err),
			hint: "does another cluster (k3s, flannel) run on this machine? this one needs the name " + bridgeName + " and the ranges " + podRange + ", " + serviceRange}
	}
	// The mark by which networkDown knows that the bridge is ours.
	if err := run("ip", "link", "set", bridgeName, "alias", cniNetwork); err != nil {
		return err
	}
	_ = os.WriteFile(sysctlPath("net/ipv6/conf/"+bridgeName+"/disable_ipv6"), []byte("1"), 0)
	for _, command := range [][]string{
		{"ip", "address", "add", nodeAddress + "/16", "dev", bridgeName},
		{"ip", "link", "set", bridgeName, "up"},
		// Before the blackhole: that alone refuses our own connections to Services
		// before netfilter can translate them, and the API server calls webhooks so.
		{"ip", "route", "replace", serviceRange, "dev", bridgeName, "metric", "10"},
		{"ip", "route", "replace", "blackhole", serviceRange, "metric", "1000", "proto", routeProtocol},
		{"ip", "route", "replace", "blackhole", podRange, "metric", "1000", "proto", routeProtocol},
	} {
		if err := run(command[0], command[1:]...); err != nil {
			return err
		}
	}
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(fmt.Sprintf(firewall, nftTable, bridgeName, podRange, serviceRange))
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %v: %s", err, output)
	}
	return nil
}

// networkDown removes what networkUp and kube-proxy made, and only that. It may
// run at any time, over what a crash left.
func networkDown() {
	bridge := filepath.Join("/sys/class/net", bridgeName)
	if alias, err := os.ReadFile(filepath.Join(bridge, "ifalias")); err == nil && strings.TrimSpace(string(alias)) == cniNetwork {
		// The pods' ends go with their namespaces, but only soon: the kernel takes
		// those down in the background.
		ports, _ := filepath.Glob(filepath.Join(bridge, "brif", "*"))
		for _, port := range ports {
			_ = run("ip", "link", "delete", filepath.Base(port))
		}
		_ = run("ip", "link", "delete", bridgeName)
	}
	for _, addresses := range []string{podRange, serviceRange} {
		_ = run("ip", "route", "delete", "blackhole", addresses, "metric", "1000", "proto", routeProtocol)
	}
	if run("nft", "list", "table", "inet", nftTable) != nil {
		return // and a table kube-proxy is somebody else's
	}
	for _, family := range []string{"ip", "ip6"} {
		_ = run("nft", "delete", "table", family, "kube-proxy")
	}
	_ = run("nft", "delete", "table", "inet", nftTable)
}
