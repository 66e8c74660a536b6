package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// identity names one process beyond doubt: a pid alone may belong to someone
// else by the time it is read back from a file.
type identity struct {
	pid        int
	startTicks uint64 // clock ticks after boot, field 22 of /proc/PID/stat
	bootID     string // ticks start again at every boot
}

func (id identity) String() string {
	return fmt.Sprintf("%d %d %s", id.pid, id.startTicks, id.bootID)
}

func parseIdentity(text string) (identity, error) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return identity{}, fmt.Errorf("pid file holds %q, not `PID START BOOT`", text)
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil || pid <= 1 {
		return identity{}, fmt.Errorf("pid file holds the impossible pid %q", fields[0])
	}
	ticks, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return identity{}, fmt.Errorf("pid file holds the impossible start time %q", fields[1])
	}
	return identity{pid: pid, startTicks: ticks, bootID: fields[2]}, nil
}

// parseStat returns the state letter and the start time from /proc/PID/stat.
// The command name in it may hold spaces and parentheses: count from its end.
func parseStat(stat string) (state string, startTicks uint64, err error) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return "", 0, fmt.Errorf("no command name in stat line %q", stat)
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return "", 0, fmt.Errorf("stat line %q is too short", stat)
	}
	startTicks, err = strconv.ParseUint(fields[19], 10, 64)
	return fields[0], startTicks, err
}

func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// identify reads who has this pid now. A zombie counts as gone: it has nothing
// left but its exit code, and no signal removes it.
func identify(pid int) (identity, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return identity{}, os.ErrProcessDone
	}
	state, ticks, err := parseStat(string(stat))
	if err != nil {
		return identity{}, err
	}
	if state == "Z" || state == "X" {
		return identity{}, os.ErrProcessDone
	}
	return identity{pid: pid, startTicks: ticks, bootID: bootID()}, nil
}

func (id identity) alive() bool {
	now, err := identify(id.pid)
	return err == nil && now == id
}

// signal sends to exactly this process or to none: FindProcess holds a pidfd, so
// the pid cannot change hands between the check and the signal.
func (id identity) signal(sig syscall.Signal) error {
	process, err := os.FindProcess(id.pid)
	if err != nil {
		return err
	}
	defer process.Release()
	if !id.alive() {
		return os.ErrProcessDone
	}
	return process.Signal(sig)
}

// stopAll asks all of them to end, waits up to grace, then kills what is left.
func stopAll(processes []identity, grace time.Duration) error {
	for _, process := range processes {
		_ = process.signal(syscall.SIGTERM)
	}
	if waitGone(processes, grace) {
		return nil
	}
	for _, process := range processes {
		_ = process.signal(syscall.SIGKILL)
	}
	if !waitGone(processes, 10*time.Second) {
		return fmt.Errorf("some of the processes %v survive SIGKILL; they may hang in the kernel, see their /proc/PID/stack", processes)
	}
	return nil
}

func waitGone(processes []identity, limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for {
		left := 0
		for _, process := range processes {
			if process.alive() {
				left++
			}
		}
		if left == 0 {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func writePidFile(path string, id identity) error {
	return writeFile(path, []byte(id.String()+"\n"), 0o644)
}

func readPidFile(path string) (identity, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return identity{}, err
	}
	return parseIdentity(string(text))
}

// recorded lists the components that have a pid file in the folder, dead or alive.
func recorded(folder string) (map[string]identity, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.pid"))
	if err != nil {
		return nil, err
	}
	found := map[string]identity{}
	for _, path := range paths {
		id, err := readPidFile(path)
		if err != nil {
			// Torn by a crash while it was written: nobody to be found through it.
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			id = identity{}
		}
		found[strings.TrimSuffix(filepath.Base(path), ".pid")] = id
	}
	return found, nil
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// processesWith lists the processes whose command line satisfies match.
func processesWith(match func(arguments []string) bool) []identity {
	var found []identity
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		commandLine, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil || len(commandLine) == 0 {
			continue
		}
		if !match(strings.Split(strings.TrimRight(string(commandLine), "\x00"), "\x00")) {
			continue
		}
		if id, err := identify(pid); err == nil {
			found = append(found, id)
		}
	}
	return found
}
