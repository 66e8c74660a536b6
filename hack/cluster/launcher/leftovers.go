package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What containers leave on the machine besides processes of ours: their own
// processes, shims, mounts, cgroups, sockets and links outside the state folder.

// cgroupFolders are our own subtree, once for each controller of cgroup v1, or
// the one of v2. The kubelet puts all pods below it, so what is in it is ours.
func cgroupFolders() []string {
	folders, _ := filepath.Glob("/sys/fs/cgroup/*/" + cgroupRoot)
	if single := "/sys/fs/cgroup/" + cgroupRoot; exists(single) {
		folders = append(folders, single)
	}
	return folders
}

// makeCgroups makes the subtree: the kubelet wants its root to be there.
func makeCgroups() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || (fields[2] != "cgroup" && fields[2] != "cgroup2") || !strings.HasPrefix(fields[1], "/sys/fs/cgroup") {
			continue
		}
		folder := filepath.Join(fields[1], cgroupRoot)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("cgroups are not writable here (%w): the full node needs a machine or a privileged container", err)
		}
		// A new cpuset has no cpus and no memory, and nothing may be put into it.
		for _, name := range []string{"cpuset.mems", "cpuset.cpus"} {
			own := filepath.Join(folder, name)
			if value, err := os.ReadFile(own); fields[2] == "cgroup" && err == nil && len(strings.TrimSpace(string(value))) == 0 {
				parent, err := os.ReadFile(filepath.Join(fields[1], name))
				if err != nil {
					return err
				}
				if err := os.WriteFile(own, parent, 0); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// containerProcesses lists what runs in pods; first only each container's first
// process, the one that a node's shutdown signals.
func containerProcesses() (first, all []identity) {
	pids := map[int]bool{}
	for _, folder := range cgroupFolders() {
		_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil
			}
			contents, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(contents)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
					pids[pid] = true
				}
			}
			return nil
		})
	}
	for pid := range pids {
		id, err := identify(pid)
		if err != nil {
			continue
		}
		all = append(all, id)
		if firstOfNamespace(pid) {
			first = append(first, id)
		}
	}
	return first, all
}

func firstOfNamespace(pid int) bool {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	defer file.Close()
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		if numbers, found := strings.CutPrefix(scanner.Text(), "NSpid:"); found {
			fields := strings.Fields(numbers)
			return len(fields) > 1 && fields[len(fields)-1] == "1"
		}
	}
	return false
}

func stopContainers(grace time.Duration) error {
	first, _ := containerProcesses()
	for _, id := range first {
		_ = id.signal(syscall.SIGTERM)
	}
	waitGone(first, grace)
	_, all := containerProcesses()
	return stopAll(all, 0)
}

func removeCgroups() {
	for attempt := 0; attempt < 50; attempt++ {
		left := 0
		for _, folder := range cgroupFolders() {
			var nested []string
			_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					nested = append(nested, path)
				}
				return nil
			})
			slices.Reverse(nested) // the deepest first
			for _, path := range nested {
				if syscall.Rmdir(path) != nil {
					left++
				}
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond) // the kernel needs a moment after the last process
	}
}

// shims are containerd's helpers, one a pod; they survive it. Ours are known by
// our socket, which is on their command lines.
func shims(state stateFolder) []identity {
	return processesWith(func(arguments []string) bool {
		if !strings.HasPrefix(filepath.Base(arguments[0]), "containerd-shim") {
			return false
		}
		at := slices.Index(arguments, "-address")
		return at >= 0 && at+1 < len(arguments) && arguments[at+1] == state.containerdSocket()
	})
}

// shimSockets are outside our folder: where they go is compiled into containerd.
func removeShimSockets(state stateFolder) {
	files, _ := filepath.Glob(state.path("run", "containerd", "io.containerd.runtime.v2.task", "k8s.io", "*", "address"))
	for _, file := range files {
		contents, err := os.ReadFile(file)
		socket, found := strings.CutPrefix(strings.TrimSpace(string(contents)), "unix://")
		if err == nil && found && strings.HasPrefix(socket, "/run/containerd/s/") {
			_ = os.Remove(socket)
		}
	}
	// Only if empty: the machine may have a containerd of its own.
	_ = syscall.Rmdir("/run/containerd/s")
	_ = syscall.Rmdir("/run/containerd")
}

// mountsBelow lists mount points under a folder, the last mounted first.
func mountsBelow(folder string) []string {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer file.Close()
	var found []string
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if point := mountPoint(scanner.Text()); point == folder || strings.HasPrefix(point, folder+"/") {
			found = append(found, point)
		}
	}
	slices.Reverse(found)
	return found
}

func mountPoint(line string) string {
	fields := strings.Fields(line)
	if len(fields) < 5 {
		return ""
	}
	point := fields[4]
	for _, escape := range [][2]string{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		point = strings.ReplaceAll(point, escape[0], escape[1])
	}
	return point
}

func unmountBelow(folder string) error {
	for attempt := 0; attempt < 5; attempt++ {
		points := mountsBelow(folder)
		if len(points) == 0 {
			return nil
		}
		for _, point := range points {
			_ = syscall.Unmount(point, syscall.MNT_DETACH)
		}
	}
	return fmt.Errorf("still mounted below %s: %s", folder, strings.Join(mountsBelow(folder), ", "))
}

// removeLinks clears what the kubelet and the CNI library write to folders that
// are compiled in.
func removeLinks(state stateFolder) {
	links, _ := filepath.Glob("/var/log/containers/*.log")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, string(state)+"/") {
			_ = os.Remove(link)
		}
	}
	results, _ := filepath.Glob("/var/lib/cni/results/" + cniNetwork + "-*")
	for _, result := range results {
		_ = os.Remove(result)
	}
	for _, pattern := range []string{"/var/lib/kubelet/device-plugins/kubelet.sock", "/var/lib/kubelet/device-plugins/DEPRECATION"} {
		_ = os.Remove(pattern)
	}
	for _, folder := range []string{
		"/var/log/containers", "/var/lib/cni/results", "/var/lib/cni/cache", "/var/lib/cni",
		"/var/lib/kubelet/device-plugins", "/var/lib/kubelet",
	} {
		_ = syscall.Rmdir(folder) // only if empty
	}
}

const overlayMagic = 0x794c7630

// onOverlay tells whether a folder is itself on an overlay file system, as in a
// container: another overlay cannot be put on it.
func onOverlay(folder string) bool {
	var stat syscall.Statfs_t
	return syscall.Statfs(folder, &stat) == nil && int64(stat.Type) == overlayMagic
}
