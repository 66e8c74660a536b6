package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// progress tells what happens, on standard error: standard output is for what a
// script wants to read, such as the path of a kubeconfig.
type progress struct {
	started time.Time
	mutex   sync.Mutex
}

func newProgress() *progress { return &progress{started: time.Now()} }

func (p *progress) say(format string, arguments ...any) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	fmt.Fprintf(os.Stderr, "[%5.1f s] %s\n", time.Since(p.started).Seconds(), fmt.Sprintf(format, arguments...))
}

// ready reports a step that is done, with the usual time from the start of the
// command: a reader sees at once which step was slow.
func (p *progress) ready(what string, usual string) {
	if usual != "" {
		what += " (usually " + usual + ")"
	}
	p.say("%s", what)
}

// hintedError is a failure with what to do about it.
type hintedError struct {
	problem string
	hint    string
	logFile string
}

func (e *hintedError) Error() string { return e.problem }

func report(err error) {
	fmt.Fprintf(os.Stderr, "\nFAILED: %v\n", err)
	var hinted *hintedError
	if !errors.As(err, &hinted) {
		return
	}
	if hinted.logFile != "" {
		lines := lastLines(hinted.logFile, 15)
		fmt.Fprintf(os.Stderr, "\nlast lines of %s:\n", hinted.logFile)
		for _, line := range lines {
			fmt.Fprintf(os.Stderr, "  %s\n", line)
		}
		if len(lines) == 0 {
			fmt.Fprintln(os.Stderr, "  (empty)")
		}
	}
	if hinted.hint != "" {
		fmt.Fprintf(os.Stderr, "\nwhat to do: %s\n", hinted.hint)
	}
}

// lastLines returns the end of a log file, of which it reads 64 KiB at most.
func lastLines(path string, count int) []string {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	const limit = 64 << 10
	if info, err := file.Stat(); err == nil && info.Size() > limit {
		_, _ = file.Seek(-limit, 2)
	}
	buffer := make([]byte, limit)
	n, _ := file.Read(buffer)
	text := strings.TrimRight(string(buffer[:n]), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	if len(lines) > count {
		lines = lines[len(lines)-count:]
	}
	return lines
}

// await polls until check succeeds. Its error carries the last reason.
func await(ctx context.Context, what string, limit time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	interval := 20 * time.Millisecond
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		var final *hintedError
		if errors.As(err, &final) {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fmt.Errorf("%s: not within %s: %w", what, limit, err)
		case <-time.After(interval):
		}
		if interval < 100*time.Millisecond {
			interval += 10 * time.Millisecond
		}
	}
}

// parallel runs all steps at once, cancels the rest when one fails, and returns
// the first failure when all have ended.
func parallel(ctx context.Context, steps ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	var once sync.Once
	var first error
	for _, step := range steps {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := step(ctx); err != nil {
				once.Do(func() { first = err; cancel() })
			}
		}()
	}
	group.Wait()
	return first
}
