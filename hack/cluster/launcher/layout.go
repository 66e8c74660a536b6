package main

import (
	"os"
	"path/filepath"
)

// node1's address is on our own bridge, so that nothing depends on the machine's
// network cards: everything that pods must reach binds to it.
const (
	nodeName              = "node1"
	nodeAddress           = "10.244.0.1"
	podRange              = "10.244.0.0/16"
	serviceRange          = "10.96.0.0/16"
	serviceAddress        = "10.96.0.1" // the Service `kubernetes`
	dnsAddress            = "10.96.0.10"
	clusterDomain         = "cluster.local"
	bridgeName            = "cni0"
	nftTable              = "tradingbot_cluster"
	cniNetwork            = "tradingbot-cluster"
	cgroupRoot            = "tradingbot-cluster"
	baseImage             = "localhost/python:3.11"
	pauseImage            = "localhost/pause:3.10"
	kubernetes            = "v1.34.4"
	apiserverPort         = "6443"
	etcdClientPort        = "12379" // not etcd's own 2379: the machine may have an etcd
	etcdPeerPort          = "12380"
	controllerManagerPort = "10257"
	corednsHealth         = "127.0.0.1:18080"
	corednsReady          = "127.0.0.1:18181"
	clusterIssuer         = "https://kubernetes.default.svc.cluster.local"
	systemPath            = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// stateFolder holds one cluster: data, credentials, configuration, logs.
type stateFolder string

func (s stateFolder) path(elements ...string) string {
	return filepath.Join(append([]string{string(s)}, elements...)...)
}
func (s stateFolder) run() string               { return s.path("run") }
func (s stateFolder) log(name string) string    { return s.path("log", name+".log") }
func (s stateFolder) config(name string) string { return s.path("config", name) }
func (s stateFolder) pki(name string) string    { return s.path("pki", name) }
func (s stateFolder) kubeconfig(user string) string {
	return s.path("kubeconfig", user+".kubeconfig")
}
func (s stateFolder) adminKubeconfig() string  { return s.path("admin.kubeconfig") }
func (s stateFolder) containerdSocket() string { return s.path("run", "containerd.sock") }

// cacheFolder holds what can be made again: binaries, images.
type cacheFolder string

func (c cacheFolder) path(elements ...string) string {
	return filepath.Join(append([]string{string(c)}, elements...)...)
}
func (c cacheFolder) binary(name string) string  { return c.path("bin", name) }
func (c cacheFolder) archive(name string) string { return c.path("images", name+".tar") }

func defaultState() stateFolder {
	if folder := os.Getenv("TRADINGBOT_CLUSTER_STATE"); folder != "" {
		return stateFolder(absolute(folder))
	}
	return "/var/lib/tradingbot-cluster"
}

func defaultCache() cacheFolder {
	if folder := os.Getenv("TRADINGBOT_CACHE"); folder != "" {
		return cacheFolder(absolute(folder))
	}
	if folder := os.Getenv("XDG_CACHE_HOME"); folder != "" {
		return cacheFolder(filepath.Join(absolute(folder), "tradingbot-operator"))
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/root"
	}
	return cacheFolder(filepath.Join(home, ".cache", "tradingbot-operator"))
}

func absolute(path string) string {
	full, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return full
}
