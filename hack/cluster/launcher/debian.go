package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// debianSources gives the machine's own apt sources of the base image's release:
// they are what is known to be reachable from here. "" where there are none, as
// on another distribution: then mmdebstrap's default is as good as any.
func debianSources(folder string) (string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "sources.list.d", "*"))
	if err != nil {
		return "", err
	}
	var lists, stanzas []string
	for _, file := range append([]string{filepath.Join(folder, "sources.list")}, files...) {
		contents, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		switch filepath.Ext(file) {
		case ".list":
			for line := range strings.Lines(string(contents)) {
				if oneLineSource(line) {
					lists = append(lists, strings.TrimSpace(line))
				}
			}
		case ".sources":
			for _, stanza := range strings.Split(string(contents), "\n\n") {
				if stanza = uncommented(stanza); stanzaOfRelease(stanza) {
					stanzas = append(stanzas, stanza)
				}
			}
		}
	}
	// mmdebstrap takes one of the two formats on its standard input.
	if len(stanzas) > 0 {
		return strings.Join(stanzas, "\n\n") + "\n", nil
	}
	if len(lists) > 0 {
		return strings.Join(lists, "\n") + "\n", nil
	}
	return "", nil
}

func ofRelease(suite string) bool {
	switch suite {
	case baseRelease, baseRelease + "-updates", baseRelease + "-security":
		return true
	}
	return false
}

func oneLineSource(line string) bool {
	fields := strings.Fields(line)
	if len(fields) < 4 || fields[0] != "deb" {
		return false
	}
	at := 1
	if strings.HasPrefix(fields[1], "[") {
		for at < len(fields) && !strings.HasSuffix(fields[at], "]") {
			at++
		}
		at++
	}
	return at+1 < len(fields) && ofRelease(fields[at+1])
}

func uncommented(stanza string) string {
	var lines []string
	for _, line := range strings.Split(stanza, "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func stanzaOfRelease(stanza string) bool {
	suites, binary, enabled := 0, false, true
	for _, line := range strings.Split(stanza, "\n") {
		key, value, found := strings.Cut(line, ":")
		if !found {
			continue
		}
		switch strings.ToLower(key) {
		case "suites":
			for _, suite := range strings.Fields(value) {
				if !ofRelease(suite) {
					return false
				}
				suites++
			}
		case "types":
			binary = strings.Contains(" "+value+" ", " deb ")
		case "enabled":
			enabled = strings.TrimSpace(value) != "no"
		}
	}
	return suites > 0 && binary && enabled
}

// aptOptions passes on how this machine's apt reaches its sources: proxies, CAs.
func aptOptions(ctx context.Context) []string {
	output, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if err != nil {
		return nil
	}
	var options []string
	for line := range strings.Lines(string(output)) {
		line = strings.TrimSpace(line)
		lower := strings.ToLower(line)
		if (strings.HasPrefix(lower, "acquire::http") || strings.HasPrefix(lower, "acquire::retries")) && !strings.HasSuffix(line, `"";`) {
			options = append(options, "--aptopt="+strings.TrimSuffix(line, ";"))
		}
	}
	return options
}
