package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// component is one process of the cluster.
type component struct {
	name      string
	program   string
	arguments []string
	ready     func(context.Context) error
	usual     string // from the start of the command until it is ready
	limit     time.Duration
	hint      string
}

// runner starts the components of one state folder and remembers what it started.
type runner struct {
	state    stateFolder
	progress *progress
	advice   string // what to do when a component fails and has no better hint
}

func (r *runner) pidFile(name string) string { return r.state.path("run", name+".pid") }

// start runs a component detached: its own session, no terminal, its own log. It
// outlives us; until then exited tells when and how it ended.
func (r *runner) start(c component) (exited <-chan error, err error) {
	logFile := r.state.log(c.name)
	if err := os.MkdirAll(filepath.Dir(logFile), 0o755); err != nil {
		return nil, err
	}
	if exists(logFile) {
		// One run before this one is enough to look into a crash.
		_ = os.Rename(logFile, logFile+".previous")
	}
	output, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	command := exec.Command(c.program, c.arguments...)
	command.Stdout, command.Stderr = output, output
	command.Dir = "/"
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// None of the caller's environment: a proxy or credentials in it would change
	// how the cluster behaves from one shell to the next.
	command.Env = []string{"PATH=" + systemPath, "HOME=" + r.state.run(), "LANG=C.UTF-8"}
	if c.name == "local-path-provisioner" {
		command.Env = append(command.Env, "CONFIG_MOUNT_PATH="+r.state.config("local-path"))
	}
	if err := command.Start(); err != nil {
		return nil, &hintedError{problem: fmt.Sprintf("%s does not start: %v", c.name, err), hint: "is it built? `cluster.sh build`"}
	}
	id, err := identify(command.Process.Pid)
	if err == nil {
		err = writePidFile(r.pidFile(c.name), id)
	}
	if err != nil {
		_ = command.Process.Kill()
		_, _ = command.Process.Wait()
		return nil, r.failure(c, fmt.Sprintf("ended at once: %v", err))
	}
	ended := make(chan error, 1)
	go func() {
		state, err := command.Process.Wait()
		if err == nil {
			err = errors.New(state.String())
		}
		ended <- err
	}()
	return ended, nil
}

func (r *runner) failure(c component, problem string) error {
	hint := c.hint
	if hint == "" {
		hint = r.advice
	}
	return &hintedError{problem: c.name + " " + problem, hint: hint, logFile: r.state.log(c.name)}
}

// bring starts a component and waits until it is ready, has ended, or is late.
func (r *runner) bring(ctx context.Context, c component) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	exited, err := r.start(c)
	if err != nil {
		return err
	}
	if c.limit == 0 {
		c.limit = time.Minute
	}
	slow := time.AfterFunc(15*time.Second, func() { r.progress.say("%s is slow, still waiting (log: %s)", c.name, r.state.log(c.name)) })
	defer slow.Stop()
	err = await(ctx, c.name, c.limit, func(ctx context.Context) error {
		select {
		case reason := <-exited:
			return r.failure(c, fmt.Sprintf("ended instead of getting ready: %v", reason))
		default:
		}
		return c.ready(ctx)
	})
	var final *hintedError
	switch {
	case err == nil:
		r.progress.ready(c.name+" ready", c.usual)
		return nil
	case errors.As(err, &final), errors.Is(err, context.Canceled):
		return err
	default:
		return r.failure(c, fmt.Sprintf("is not ready: %v", err))
	}
}

// stop ends the named components, all at once, and forgets them.
func (r *runner) stop(grace time.Duration, names ...string) error {
	var running []identity
	for _, name := range names {
		id, err := readPidFile(r.pidFile(name))
		if err == nil && id.alive() {
			running = append(running, id)
		}
	}
	if err := stopAll(running, grace); err != nil {
		return err
	}
	for _, name := range names {
		_ = os.Remove(r.pidFile(name))
	}
	return nil
}
