package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// writeFile replaces a file as a whole: a reader, or a crash, sees the old
// contents or the new, never half.
func writeFile(path string, contents []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	if _, err := temporary.Write(contents); err != nil {
		temporary.Close()
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	if err := os.Chmod(temporary.Name(), mode); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// lock takes the folder's lock for as long as this process lives. The kernel
// releases it when we die, however we die: there is no stale lock to clear.
func lock(folder, command string, wait time.Duration) (release func(), err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(wait)
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			holder, _ := os.ReadFile(path)
			file.Close()
			return nil, &hintedError{
				problem: fmt.Sprintf("another command works on %s: %s", folder, holder),
				hint:    "wait for it to end (it has deadlines of its own), then try again",
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	_ = file.Truncate(0)
	_, _ = file.WriteAt([]byte(fmt.Sprintf("`%s`, pid %d, since %s", command, os.Getpid(), time.Now().Format("15:04:05"))), 0)
	return func() {
		_ = file.Truncate(0)
		file.Close()
	}, nil
}
