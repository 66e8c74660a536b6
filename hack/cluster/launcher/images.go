package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Images without a registry and without Docker: a base image from the machine's
// own Debian sources, our Dockerfiles on top of it by buildah, and from there into
// containerd. Its namespace k8s.io is what the kubelet sees.

type images struct {
	cache    cacheFolder
	state    stateFolder
	progress *progress
}

func (i images) containerRuns() bool {
	id, err := readPidFile(i.state.path("run", "containerd.pid"))
	return err == nil && id.alive()
}

func (i images) ctr(ctx context.Context, arguments ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "ctr", append([]string{"--address", i.state.containerdSocket(), "--namespace", "k8s.io"}, arguments...)...)
	var problems bytes.Buffer
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("ctr %s: %v: %s", strings.Join(arguments, " "), err, bytes.TrimSpace(problems.Bytes()))
	}
	return output, nil
}

// canonicalName is a tag as containerd and the kubelet spell it.
func canonicalName(tag string) string {
	first, _, hasSlash := strings.Cut(tag, "/")
	switch {
	case !hasSlash:
		tag = "docker.io/library/" + tag
	case first != "localhost" && !strings.ContainsAny(first, ".:"):
		tag = "docker.io/" + tag
	}
	if last := tag[strings.LastIndexByte(tag, '/')+1:]; !strings.ContainsAny(last, ":@") {
		tag += ":latest"
	}
	return tag
}

// importedFile remembers which image a tag had when it was imported.
func (i images) importedFile(tag string) string {
	return i.state.path("images", strings.NewReplacer("/", "_", ":", "_").Replace(canonicalName(tag))+".id")
}

func (i images) imported(ctx context.Context, tag, id string) bool {
	recorded, err := os.ReadFile(i.importedFile(tag))
	if err != nil || strings.TrimSpace(string(recorded)) != id {
		return false
	}
	names, err := i.ctr(ctx, "images", "list", "--quiet", "name=="+canonicalName(tag))
	return err == nil && strings.Contains(string(names), canonicalName(tag))
}

func (i images) snapshotter() string {
	if onOverlay(string(i.state)) {
		return "native"
	}
	return "overlayfs"
}

func (i images) importArchive(ctx context.Context, archive string) error {
	_, err := i.ctr(ctx, "images", "import", "--snapshotter", i.snapshotter(), archive)
	return err
}

// importOnce imports an archive of ours, whose id is beside it, if containerd has
// another image under its tag or none.
func (i images) importOnce(ctx context.Context, tag, archive string) error {
	id, err := os.ReadFile(archive + ".id")
	if err != nil {
		return err
	}
	if i.imported(ctx, tag, strings.TrimSpace(string(id))) {
		return nil
	}
	if err := i.importArchive(ctx, archive); err != nil {
		return err
	}
	i.progress.ready("image "+tag+" imported", "3 s, once")
	return writeFile(i.importedFile(tag), id, 0o644)
}

// Images that were built while the cluster was down wait here.
func (i images) pendingFolder() string { return i.state.path("images", "pending") }

func (i images) importPending(ctx context.Context) error {
	archives, _ := filepath.Glob(filepath.Join(i.pendingFolder(), "*.tar"))
	for _, archive := range archives {
		if err := i.importArchive(ctx, archive); err != nil {
			return err
		}
		if tags, err := archiveTags(archive); err == nil && len(tags) == 1 {
			if id, err := os.ReadFile(archive + ".id"); err == nil {
				if err := writeFile(i.importedFile(tags[0]), id, 0o644); err != nil {
					return err
				}
			}
			i.progress.say("image %s, built while the cluster was down, imported", tags[0])
		}
		_ = os.Remove(archive)
		_ = os.Remove(archive + ".id")
	}
	return nil
}

func (i images) load(ctx context.Context, archive string) error {
	if _, err := os.Stat(archive); err != nil {
		return err
	}
	if !i.containerRuns() {
		return &hintedError{problem: "the cluster is not running", hint: "`cluster.sh up` first"}
	}
	before := time.Now()
	tags, _ := archiveTags(archive) // an OCI archive has none here; containerd reads both
	if err := i.importArchive(ctx, archive); err != nil {
		return err
	}
	for _, tag := range tags {
		// What build-image remembered about this tag no longer holds.
		_ = os.Remove(i.importedFile(tag))
	}
	i.progress.say("loaded %s %s in %.1f s", archive, strings.Join(tags, " "), time.Since(before).Seconds())
	return nil
}

// makePause packs the pause program, a static one, as an image.
func (i images) makePause() error {
	archive := i.cache.archive("pause")
	program, err := os.Stat(i.cache.binary("pause"))
	if err != nil {
		return err
	}
	if made, err := os.Stat(archive + ".id"); err == nil && made.ModTime().After(program.ModTime()) && exists(archive) {
		return nil
	}
	layer := i.cache.path("images", "pause-layer.tar")
	if err := singleFileLayer(layer, i.cache.binary("pause"), "pause"); err != nil {
		return err
	}
	defer os.Remove(layer)
	id, err := writeArchive(archive, pauseImage, layer, imageConfiguration{Entrypoint: []string{"/pause"}})
	if err != nil {
		return err
	}
	return writeFile(archive+".id", []byte(id+"\n"), 0o644)
}

// The mount points for what RUN steps borrow from the machine are in the base
// image, empty, so that a build does not have to make them in a layer.
const (
	pipConfigMount = "/etc/pip.conf"
	wheelsMount    = "/mnt/wheels"
	bundleMount    = "/etc/ssl/certs/ca-certificates.crt"
)

const baseRelease = "bookworm"

// baseArguments make the base image: what `python3 -m venv` and `pip install` in a
// Dockerfile need, and what the volume provisioner's shell scripts do.
func baseArguments(output string) []string {
	arguments := []string{
		"--variant=minbase", "--include=ca-certificates,python3,python3-venv",
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright",
		`--customize-hook=ln -s python3 "$1/usr/bin/python"`,
		`--customize-hook=mkdir -p "$1` + wheelsMount + `" && : > "$1` + pipConfigMount + `"`,
		// Of this machine: not for the image.
		`--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" && : > "$1/etc/resolv.conf" && : > "$1/etc/hostname"`,
		"--format=tar",
	}
	return append(arguments, baseRelease, output)
}

// makeBase makes the base image once; again when asked, or when its recipe changed.
func (i images) makeBase(ctx context.Context, again bool) error {
	archive := i.cache.archive("base")
	recipe := sha256.Sum256([]byte(strings.Join(append(baseArguments(""), archiveFormat), "\n")))
	stamp := hex.EncodeToString(recipe[:])
	if made, err := os.ReadFile(archive + ".recipe"); err == nil && string(made) == stamp && exists(archive) && exists(archive+".id") && !again {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		return err
	}
	release, err := lock(filepath.Dir(archive), "cluster base-image", 10*time.Minute)
	if err != nil {
		return err
	}
	defer release()
	if made, err := os.ReadFile(archive + ".recipe"); err == nil && string(made) == stamp && exists(archive+".id") && !again {
		return nil // another command made it while we waited
	}
	i.progress.say("making the base image %s from Debian packages (usually 30 s, once)", baseImage)
	sources, err := debianSources("/etc/apt")
	if err != nil {
		return err
	}
	layer := i.cache.path("images", "base-layer.tar")
	defer os.Remove(layer)
	arguments := append(aptOptions(ctx), baseArguments(layer)...)
	logFile := i.cache.path("images", "base.log")
	output, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer output.Close()
	if sources != "" {
		arguments = append(arguments, "-")
	}
	command := exec.CommandContext(ctx, "mmdebstrap", arguments...)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(sources), output, output
	if err := command.Run(); err != nil {
		return &hintedError{problem: fmt.Sprintf("mmdebstrap: %v", err), logFile: logFile,
			hint: "does `apt-get update` work here? the base image comes from the same sources"}
	}
	id, err := writeArchive(archive, baseImage, layer, imageConfiguration{
		Env: []string{"PATH=" + systemPath, "LANG=C.UTF-8"}, Cmd: []string{"python3"},
	})
	if err != nil {
		return err
	}
	if err := writeFile(archive+".id", []byte(id+"\n"), 0o644); err != nil {
		return err
	}
	i.progress.say("made the base image")
	return writeFile(archive+".recipe", []byte(stamp), 0o644)
}
