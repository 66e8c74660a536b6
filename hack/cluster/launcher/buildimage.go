package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// buildImage builds a Dockerfile on the base image and gives it to the cluster.
// What RUN steps need to reach the package index from this machine (its CA bundle,
// pip's settings) is mounted while they run: none of it gets into the image.
func (i images) buildImage(ctx context.Context, tag, contextFolder, dockerfile string, extra []string) error {
	if os.Geteuid() != 0 {
		return &hintedError{problem: "building images needs root (chroot isolation)", hint: "run it as root"}
	}
	if err := i.makeBase(ctx, false); err != nil {
		return err
	}
	store := i.cache.path("buildah")
	release, err := lock(store, "cluster build-image "+tag, 15*time.Minute)
	if err != nil {
		return err
	}
	defer release()
	// buildah mounts its store onto itself and leaves it so.
	defer unmountBelow(store)
	baseID, err := os.ReadFile(i.cache.archive("base") + ".id")
	if err != nil {
		return err
	}
	if known, _ := os.ReadFile(filepath.Join(store, "base.id")); string(known) != string(baseID) {
		if err := i.buildah(ctx, nil, "pull", "docker-archive:"+i.cache.archive("base")); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(store, "base.id"), baseID, 0o644); err != nil {
			return err
		}
		i.progress.ready("base image taken into buildah's store", "5 s, once")
	}
	borrowed, err := os.MkdirTemp("", "tradingbot-build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(borrowed)
	idFile := filepath.Join(borrowed, "image.id")
	arguments := []string{
		"build", "--layers", "--isolation", "chroot", "--format", "docker", "--pull-never",
		"--tag", tag, "--iidfile", idFile, "--build-arg", "PYTHON_IMAGE=" + baseImage,
	}
	mounts, err := borrowedMounts(ctx, borrowed)
	if err != nil {
		return err
	}
	for _, mount := range mounts {
		arguments = append(arguments, "--volume", mount+":ro")
	}
	for _, argument := range extra {
		if strings.HasPrefix(argument, "--") {
			arguments = append(arguments, argument)
		} else {
			arguments = append(arguments, "--build-arg", argument)
		}
	}
	arguments = append(arguments, "--file", dockerfile, contextFolder)
	if err := i.buildah(ctx, os.Stderr, arguments...); err != nil {
		return &hintedError{problem: fmt.Sprintf("building %s: %v", tag, err), hint: "buildah's messages above say which step failed"}
	}
	contents, err := os.ReadFile(idFile)
	if err != nil {
		return err
	}
	id := strings.TrimPrefix(strings.TrimSpace(string(contents)), "sha256:")
	i.progress.say("built %s %.12s", tag, id)
	return i.deliver(ctx, tag, id)
}

// deliver exports an image and imports it into the cluster, unless it is there.
func (i images) deliver(ctx context.Context, tag, id string) error {
	running := i.containerRuns()
	if running && i.imported(ctx, tag, id) {
		i.progress.say("%s is unchanged: the cluster has it", tag)
		return nil
	}
	name := strings.TrimSuffix(filepath.Base(i.importedFile(tag)), ".id")
	archive := filepath.Join(i.pendingFolder(), name+".tar")
	if err := os.MkdirAll(i.pendingFolder(), 0o755); err != nil {
		return err
	}
	_ = os.Remove(archive) // buildah does not overwrite
	if err := i.buildah(ctx, nil, "push", id, "docker-archive:"+archive+":"+tag); err != nil {
		return err
	}
	i.progress.ready("exported", "3 s")
	if err := writeFile(archive+".id", []byte(id+"\n"), 0o644); err != nil {
		return err
	}
	if !running {
		i.progress.say("the cluster is down: the next `cluster.sh up` imports %s", tag)
		return nil
	}
	if err := i.importArchive(ctx, archive); err != nil {
		return err
	}
	i.progress.ready("imported into the cluster as "+canonicalName(tag), "3 s")
	_ = os.Remove(archive)
	_ = os.Remove(archive + ".id")
	return writeFile(i.importedFile(tag), []byte(id+"\n"), 0o644)
}

func (i images) buildah(ctx context.Context, output *os.File, arguments ...string) error {
	store := i.cache.path("buildah")
	driver := "overlay"
	if onOverlay(store) {
		driver = "vfs"
	}
	command := exec.CommandContext(ctx, "buildah", append([]string{
		"--root", filepath.Join(store, "root"), "--runroot", filepath.Join(store, "run"), "--storage-driver", driver,
	}, arguments...)...)
	command.Env = append(os.Environ(), "BUILDAH_ISOLATION=chroot", "STORAGE_OPTS=")
	if output != nil {
		command.Stdout, command.Stderr = output, output
		return command.Run()
	}
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("buildah %s: %v: %s", strings.Join(arguments, " "), err, text)
	}
	return nil
}

// caBundle is the file of authorities that this machine trusts for the package
// index: named by the usual variables, else the distribution's.
func caBundle(pipSettings map[string]string) string {
	candidates := []string{pipSettings["cert"]}
	for _, variable := range []string{"PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"} {
		candidates = append(candidates, os.Getenv(variable))
	}
	candidates = append(candidates, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
	for _, candidate := range candidates {
		if info, err := os.Stat(candidate); candidate != "" && err == nil && info.Mode().IsRegular() {
			return candidate
		}
	}
	return ""
}

// pipKeys are the settings that decide whether pip reaches an index from here.
// Not, for example, `user` or `target`, which would change what the image holds.
var pipKeys = map[string]bool{
	"index-url": true, "extra-index-url": true, "trusted-host": true, "no-index": true, "proxy": true,
	"timeout": true, "default-timeout": true, "retries": true, "cert": true, "find-links": true,
	"disable-pip-version-check": true, "prefer-binary": true,
}

var pipSetting = regexp.MustCompile(`^(?:global|install|:env:)\.([a-z-]+)='(.*)'$`)

// parsePipSettings reads `pip config list`, whose later lines do not override:
// the environment does, wherever it stands.
func parsePipSettings(listing string) map[string]string {
	settings, fromEnvironment := map[string]string{}, map[string]bool{}
	for line := range strings.Lines(listing) {
		line = strings.TrimSpace(line)
		match := pipSetting.FindStringSubmatch(line)
		if match == nil || !pipKeys[match[1]] {
			continue
		}
		key, environment := match[1], strings.HasPrefix(line, ":env:")
		if fromEnvironment[key] && !environment {
			continue
		}
		settings[key] = strings.ReplaceAll(match[2], `\n`, " ")
		fromEnvironment[key] = environment
	}
	return settings
}

// pipConfiguration is the pip.conf that RUN steps see.
func pipConfiguration(settings map[string]string, hasBundle, hasWheels bool) string {
	text := "[global]\n"
	for _, key := range sortedNames(settings) {
		value := settings[key]
		switch key {
		case "cert":
			continue // below, at its place in the container
		case "find-links":
			value = remoteOnly(value)
		}
		if value != "" {
			// A list is one value a line; several words are several values here.
			text += key + " = " + strings.Join(strings.Fields(value), "\n    ") + "\n"
		}
	}
	if hasBundle {
		text += "cert = " + bundleMount + "\n"
	}
	if hasWheels {
		// Merged with remote ones, of which pip keeps the last key only.
		if remote := remoteOnly(settings["find-links"]); remote != "" {
			text = strings.Replace(text, "find-links = ", "find-links = "+wheelsMount+"\n    ", 1)
		} else {
			text += "find-links = " + wheelsMount + "\n"
		}
	}
	return text
}

func remoteOnly(links string) string {
	var remote []string
	for _, link := range strings.Fields(links) {
		if strings.Contains(link, "://") && !strings.HasPrefix(link, "file://") {
			remote = append(remote, link)
		}
	}
	return strings.Join(remote, " ")
}

func localWheels(links string) string {
	for _, link := range strings.Fields(links) {
		folder := strings.TrimPrefix(link, "file://")
		if info, err := os.Stat(folder); filepath.IsAbs(folder) && err == nil && info.IsDir() {
			return folder
		}
	}
	return ""
}

func borrowedMounts(ctx context.Context, folder string) ([]string, error) {
	var settings map[string]string
	for _, command := range [][]string{{"python3", "-m", "pip"}, {"pip"}, {"pip3"}} {
		output, err := exec.CommandContext(ctx, command[0], append(command[1:], "config", "list")...).Output()
		if err == nil {
			settings = parsePipSettings(string(output))
			break
		}
	}
	if settings == nil { // no pip here: what its variables say is still meant for it
		var listing strings.Builder
		for _, variable := range os.Environ() {
			name, value, _ := strings.Cut(variable, "=")
			if key, found := strings.CutPrefix(name, "PIP_"); found {
				fmt.Fprintf(&listing, ":env:.%s='%s'\n", strings.ReplaceAll(strings.ToLower(key), "_", "-"), value)
			}
		}
		settings = parsePipSettings(listing.String())
	}
	bundle, wheels := caBundle(settings), localWheels(settings["find-links"])
	var mounts []string
	if bundle != "" {
		mounts = append(mounts, bundle+":"+bundleMount)
	}
	if wheels != "" {
		mounts = append(mounts, wheels+":"+wheelsMount)
	}
	file := filepath.Join(folder, "pip.conf")
	if err := writeFile(file, []byte(pipConfiguration(settings, bundle != "", wheels != "")), 0o644); err != nil {
		return nil, err
	}
	return append(mounts, file+":"+pipConfigMount), nil
}
