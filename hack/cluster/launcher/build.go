package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Builds the Go programs into the cache, each again only when its inputs changed.

type target struct {
	name   string
	folder string // below hack/cluster
	pkg    string
	tags   string
	ldflag string
	links  []string
	usual  string
}

const (
	versionPackage = "k8s.io/component-base/version."
	helmModule     = "helm.sh/helm/v3"
	argocdModule   = "github.com/argoproj/argo-cd/v3"
)

var (
	controlPlaneTarget = target{
		name: "controlplane", folder: "controlplane", pkg: ".",
		// Else the version is v0.0.0-master, and clients refuse features by it.
		ldflag: "-X " + versionPackage + "gitVersion=" + kubernetes + " -X " + versionPackage + "gitMajor=1 -X " +
			versionPackage + "gitMinor=34 -X " + versionPackage + "gitTreeState=clean",
		links: []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"},
		usual: "5 min the first time, 15 s later",
	}
	allTargets = []target{
		controlPlaneTarget,
		{name: "coredns", folder: "coredns", pkg: ".", usual: "50 s the first time, 3 s later"},
		{name: "local-path-provisioner", folder: "localpath", pkg: "github.com/rancher/local-path-provisioner", usual: "50 s the first time, 3 s later"},
		{name: "pause", folder: "pause", pkg: ".", usual: "3 s"},
	}
	// What the chart is checked with. No cluster needs them.
	chartTargets = []target{
		{
			name: "helm", folder: "helm", pkg: helmModule + "/cmd/helm",
			// Else it takes the cluster it renders for to be Kubernetes 1.20.
			ldflag: "-X " + helmModule + "/internal/version.version=v3.19.5" +
				" -X " + helmModule + "/pkg/chartutil.k8sVersionMajor=1 -X " + helmModule + "/pkg/chartutil.k8sVersionMinor=34" +
				" -X " + helmModule + "/pkg/lint/rules.k8sVersionMajor=1 -X " + helmModule + "/pkg/lint/rules.k8sVersionMinor=34",
			usual: "1 min the first time, 5 s later",
		},
		// Without the clients of every cloud that Prometheus can find its targets in: they take two minutes more.
		{
			name: "promtool", folder: "promtool", pkg: "github.com/prometheus/prometheus/cmd/promtool",
			tags: "remove_all_sd", usual: "2 min the first time, 5 s later",
		},
	}
	// What hack/argocd runs beside a cluster.
	argocdTarget = target{
		name: "argo", folder: filepath.Join("..", "argocd", "program"), pkg: ".",
		ldflag: "-X " + argocdModule + "/common.version=3.2.6",
		links:  []string{"argocd", "argocd-application-controller", "argocd-repo-server", "kustomize"},
		usual:  "3 min the first time, 15 s later",
	}
)

// What the chart has run beside bots, and an S3 for it to write to. No cluster needs them.
var litestreamTargets = []target{
	{
		name: "litestream", folder: "litestream", pkg: "github.com/benbjohnson/litestream/cmd/litestream",
		ldflag: "-X main.Version=v0.5.18", usual: "2 min the first time, 5 s later",
	},
	{name: "gofakes3", folder: "litestream", pkg: "github.com/johannesboyne/gofakes3/cmd/gofakes3", usual: "10 s the first time, 3 s later"},
}

type builder struct {
	cache    cacheFolder
	progress *progress
}

func sourceFolder() (string, error) {
	folder := os.Getenv("TRADINGBOT_CLUSTER_SOURCE")
	if folder == "" || !exists(filepath.Join(folder, "controlplane")) {
		return "", &hintedError{problem: "the sources of the cluster's programs are not known",
			hint: "call hack/cluster/cluster.sh, which sets TRADINGBOT_CLUSTER_SOURCE"}
	}
	return folder, nil
}

// contentHash covers the names and contents of all files of a target.
func contentHash(folder string, t target) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n", t.pkg, t.ldflag)
	if t.tags != "" {
		fmt.Fprintf(sum, "%s\n", t.tags)
	}
	err := filepath.WalkDir(filepath.Join(folder, t.folder), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		contents, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(folder, path)
		fmt.Fprintf(sum, "%s %d\n", relative, len(contents))
		sum.Write(contents)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil))[:32], err
}

func goProgram() string {
	if program := os.Getenv("TRADINGBOT_GO"); program != "" {
		return program
	}
	if program, err := exec.LookPath("go"); err == nil {
		return program
	}
	return ""
}

func goEnvironment() []string {
	// Not CGO: static programs run on every distribution, and in the pause image.
	return append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOTOOLCHAIN=local", "GOFLAGS=-mod=readonly")
}

func goVersion(program string) string {
	if program == "" {
		return ""
	}
	output, err := exec.Command(program, "env", "GOVERSION").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(output))
}

func (b builder) stampFile(t target) string { return b.cache.path("bin", "."+t.name+".stamp") }

// stale tells which targets must be built. Where there is no Go at all, binaries
// of the right sources will do, whichever Go made them.
func (b builder) stale(targets []target) (stale []target, hashes map[string]string, err error) {
	folder, err := sourceFolder()
	if err != nil {
		return nil, nil, err
	}
	version := goVersion(goProgram())
	hashes = map[string]string{}
	for _, t := range targets {
		hash, err := contentHash(folder, t)
		if err != nil {
			return nil, nil, err
		}
		hashes[t.name] = hash
		stamp, _ := os.ReadFile(b.stampFile(t))
		fields := strings.Fields(string(stamp))
		fresh := len(fields) == 2 && fields[0] == hash && (version == "" || fields[1] == version)
		for _, name := range append([]string{t.name}, t.links...) {
			fresh = fresh && exists(b.cache.binary(name))
		}
		if !fresh {
			stale = append(stale, t)
		}
	}
	return stale, hashes, nil
}

func (b builder) binaries(ctx context.Context, targets ...target) error {
	if stale, _, err := b.stale(targets); err != nil || len(stale) == 0 {
		return err
	}
	if err := os.MkdirAll(b.cache.path("bin"), 0o755); err != nil {
		return err
	}
	// Two that start at once wait for one build.
	release, err := lock(b.cache.path("bin"), "cluster build", 20*time.Minute)
	if err != nil {
		return err
	}
	defer release()
	stale, hashes, err := b.stale(targets)
	if err != nil {
		return err
	}
	for _, t := range stale {
		if err := b.compile(ctx, t, hashes[t.name]); err != nil {
			return err
		}
	}
	return nil
}

func (b builder) compile(ctx context.Context, t target, hash string) error {
	program := goProgram()
	if program == "" {
		return &hintedError{problem: "no Go to build " + t.name, hint: "call hack/cluster/cluster.sh, which installs one, or put a Go of 1.26 or later on the PATH"}
	}
	folder, err := sourceFolder()
	if err != nil {
		return err
	}
	b.progress.say("building %s (usually %s)", t.name, t.usual)
	temporary := b.cache.binary(t.name + ".new")
	command := exec.CommandContext(ctx, program, "build", "-buildvcs=false", "-trimpath", "-tags="+t.tags,
		"-ldflags=-s -w "+t.ldflag, "-o", temporary, t.pkg)
	command.Dir = filepath.Join(folder, t.folder)
	command.Env = goEnvironment()
	// Go says what it downloads, and why it fails.
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return &hintedError{problem: fmt.Sprintf("building %s: %v", t.name, err),
			hint: "Go's message above says why; it needs the Go module proxy (`go env GOPROXY`) and 8 GB of disk the first time"}
	}
	// A running cluster keeps the file it was started from.
	if err := os.Rename(temporary, b.cache.binary(t.name)); err != nil {
		return err
	}
	for _, link := range t.links {
		_ = os.Remove(b.cache.binary(link))
		if err := os.Symlink(t.name, b.cache.binary(link)); err != nil {
			return err
		}
	}
	b.progress.say("built %s", t.name)
	return writeFile(b.stampFile(t), []byte(hash+" "+goVersion(program)+"\n"), 0o644)
}
