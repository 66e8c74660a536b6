package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func startSleeper(t *testing.T, arguments ...string) (identity, *exec.Cmd) {
	t.Helper()
	if len(arguments) == 0 {
		arguments = []string{"sleep", "60"}
	}
	command := exec.Command(arguments[0], arguments[1:]...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _, _ = command.Process.Wait() })
	id, err := identify(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return id, command
}

func TestPidFileGivesBackTheProcessItWasWrittenFor(t *testing.T) {
	id, _ := startSleeper(t)
	path := filepath.Join(t.TempDir(), "run", "sleeper.pid")
	if err := writePidFile(path, id); err != nil {
		t.Fatal(err)
	}
	read, err := readPidFile(path)
	if err != nil || read != id {
		t.Fatalf("wrote %v, read %v, %v", id, read, err)
	}
	if !read.alive() {
		t.Fatal("the process lives, its identity does not say so")
	}
}

func TestReusedPidIsNotTheProcessAndGetsNoSignal(t *testing.T) {
	id, _ := startSleeper(t)
	for name, other := range map[string]identity{
		"started at another time": {id.pid, id.startTicks - 1, id.bootID},
		"of another boot":         {id.pid, id.startTicks, "00000000-0000-0000-0000-000000000000"},
	} {
		if other.alive() {
			t.Errorf("a process %s counts as ours", name)
		}
		if err := other.signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("signal to a process %s: %v", name, err)
		}
		if err := stopAll([]identity{other}, 0); err != nil {
			t.Errorf("stopping a process %s: %v", name, err)
		}
	}
	if !id.alive() {
		t.Fatal("the bystander was killed")
	}
}

func TestZombieCountsAsGone(t *testing.T) {
	command := exec.Command("cat")
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = command.Process.Wait() })
	id, err := identify(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	input.Close() // it ends now, and nobody has waited for it
	if !waitGone([]identity{id}, 5*time.Second) {
		t.Fatalf("pid %d is a zombie and counts as alive", command.Process.Pid)
	}
}

func TestStopKillsWhatIgnoresTheRequestToEnd(t *testing.T) {
	id, _ := startSleeper(t, "sh", "-c", `trap "" TERM; while :; do sleep 0.1; done`)
	time.Sleep(50 * time.Millisecond) // the trap is set soon after the start
	if err := stopAll([]identity{id}, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if id.alive() {
		t.Fatal("still alive")
	}
}

func TestStatLineIsReadFromBehindTheCommandName(t *testing.T) {
	tail := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21"
	for _, name := range []string{"sleep", "a b", "x) R 9 (y", ")"} {
		state, ticks, err := parseStat("77 (" + name + ")" + tail)
		if err != nil || state != "S" || ticks != 4242 {
			t.Errorf("%q: %q, %d, %v", name, state, ticks, err)
		}
	}
	for _, line := range []string{"", "77 sleep S 1", "77 (sleep) S 1"} {
		if _, _, err := parseStat(line); err == nil {
			t.Errorf("%q was accepted", line)
		}
	}
}

func TestImpossiblePidFilesAreRefused(t *testing.T) {
	for _, text := range []string{"", "12", "12 34", "0 1 b", "1 1 b", "-7 1 b", "x 1 b", "12 -1 b", "12 1 b c"} {
		if id, err := parseIdentity(text); err == nil {
			t.Errorf("%q was read as %v", text, id)
		}
	}
}

func TestTornPidFileIsARecordOfNobody(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "etcd.pid"), []byte("12"), 0o644); err != nil {
		t.Fatal(err)
	}
	records, err := recorded(folder)
	if err != nil {
		t.Fatal(err)
	}
	id, found := records["etcd"]
	if !found || id.alive() {
		t.Fatalf("found %v, %v", id, found)
	}
}

func TestSecondCommandIsToldWhoHoldsTheLock(t *testing.T) {
	folder := t.TempDir()
	release, err := lock(folder, "cluster up", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lock(folder, "cluster down", 0)
	var hinted *hintedError
	if !errors.As(err, &hinted) || hinted.hint == "" {
		t.Fatalf("got %v", err)
	}
	release()
	again, err := lock(folder, "cluster down", 0)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	again()
}
