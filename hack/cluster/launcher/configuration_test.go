package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEveryTemplateIsRenderedWhole(t *testing.T) {
	entries, err := embedded.ReadDir("config")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		contents, err := render(entry.Name(), nodeValues("/state"))
		if err != nil {
			t.Errorf("%s: %v", entry.Name(), err)
		}
		if text := string(contents); strings.Contains(text, "{{") || strings.Contains(text, "<no value>") || text == "" {
			t.Errorf("%s:\n%s", entry.Name(), text)
		}
		if ext := filepath.Ext(entry.Name()); (ext == ".json" || ext == ".conflist") && !json.Valid(contents) {
			t.Errorf("%s is not JSON:\n%s", entry.Name(), contents)
		}
	}
}

func TestNothingOfTheClusterListensOutsideTheMachine(t *testing.T) {
	state := stateFolder("/state")
	arguments := strings.Join(append(apiserverArguments(state, "127.0.0.1", "1", "2"),
		etcd(state, "etcd", "3", "4", "").arguments...), " ")
	if strings.Contains(arguments, "0.0.0.0") || !strings.Contains(arguments, "--bind-address=127.0.0.1") {
		t.Fatal(arguments)
	}
}

func TestMountPointsMayHoldSpaces(t *testing.T) {
	line := `36 35 98:0 / /state/a\040b\134c rw,noatime - ext4 /dev/root rw`
	if got := mountPoint(line); got != `/state/a b\c` {
		t.Fatalf("%q", got)
	}
}

func TestFreePortsAreDifferent(t *testing.T) {
	ports, err := freePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if len(slices.Compact(ports)) != 4 {
		t.Fatal(ports)
	}
}

func TestHashOfATargetFollowsItsFilesAndTheirNames(t *testing.T) {
	folder := t.TempDir()
	write := func(name, contents string) {
		t.Helper()
		if err := writeFile(filepath.Join(folder, "program", name), []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	hash := func() string {
		t.Helper()
		sum, err := contentHash(folder, target{name: "program", folder: "program"})
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	write("main.go", "package main")
	first := hash()
	if first != hash() {
		t.Fatal("it changes by itself")
	}
	write("go.sum", "")
	second := hash()
	write("go.sum", "x")
	third := hash()
	if first == second || second == third {
		t.Fatal("a new file or its contents do not count")
	}
	if err := os.Rename(filepath.Join(folder, "program", "go.sum"), filepath.Join(folder, "program", "go.mod")); err != nil {
		t.Fatal(err)
	}
	if third == hash() {
		t.Fatal("a name does not count")
	}
}

func TestLastLinesOfALogThatIsLargerThanWeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("filler\n", 20000)+"the reason\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	lines := lastLines(path, 3)
	if len(lines) != 3 || lines[2] != "the reason" {
		t.Fatalf("%q", lines)
	}
}
