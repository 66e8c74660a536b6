package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// status prints one line a component and a summary; false if the cluster is not up.
func (n *node) status(context.Context) bool {
	records, _ := recorded(n.state.run())
	dead, any := n.dead()
	if !any {
		fmt.Printf("the cluster is down (state: %s)\n", n.state)
		return false
	}
	fmt.Printf("%-26s %8s %8s %10s  %s\n", "COMPONENT", "PID", "UP", "RSS", "LOG")
	total := 0
	for _, name := range nodeComponents {
		id, found := records[name]
		if !found || !id.alive() {
			fmt.Printf("%-26s %8s %8s %10s  %s\n", name, "-", "DEAD", "-", n.state.log(name))
			continue
		}
		megabytes := residentMegabytes(id.pid)
		total += megabytes
		fmt.Printf("%-26s %8d %8s %7d MB  %s\n", name, id.pid, age(id), megabytes, n.state.log(name))
	}
	first, _ := containerProcesses()
	fmt.Printf("\n%d MB in all, %d containers (with one pause container a pod)\n", total, len(first))
	fmt.Printf("kubeconfig: %s\nkubectl:    %s\n", n.state.adminKubeconfig(), n.cache.binary("kubectl"))
	if len(dead) > 0 {
		fmt.Printf("\nnot running: %s; `cluster.sh up` starts the cluster again\n", strings.Join(dead, ", "))
		return false
	}
	output, err := exec.Command(n.cache.binary("kubectl"), "--kubeconfig="+n.state.adminKubeconfig(), "--request-timeout=5s",
		"get", "nodes", "--no-headers").CombinedOutput()
	fmt.Printf("\n%s", output)
	return err == nil
}

func residentMegabytes(pid int) int {
	contents, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(contents))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize() >> 20
}

// age of a process, at the hundred ticks a second that Linux shows to programs.
func age(id identity) string {
	contents, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "?"
	}
	up, err := strconv.ParseFloat(strings.Fields(string(contents))[0], 64)
	if err != nil {
		return "?"
	}
	return time.Duration((up - float64(id.startTicks)/100) * float64(time.Second)).Round(time.Second).String()
}
