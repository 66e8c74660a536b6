package main

import (
	"bytes"
	"embed"
	"syscall"
	"text/template"
)

//go:embed config manifests
var embedded embed.FS

// values are what the templates in config/ may use.
type values struct {
	State, Socket, PauseImage, BaseImage, Snapshotter   string
	CNINetwork, Bridge, PodRange, NodeAddress, NodeName string
	CgroupRoot, ClusterDomain, DNSAddress               string
	CoreDNSHealth, CoreDNSReady                         string
	MaxOpenFiles                                        uint64
}

func nodeValues(state stateFolder) values {
	made := values{
		State: string(state), Socket: state.containerdSocket(), PauseImage: pauseImage, BaseImage: baseImage,
		Snapshotter: "overlayfs", CNINetwork: cniNetwork, Bridge: bridgeName, PodRange: podRange,
		NodeAddress: nodeAddress, NodeName: nodeName, CgroupRoot: cgroupRoot, ClusterDomain: clusterDomain,
		DNSAddress: dnsAddress, CoreDNSHealth: corednsHealth, CoreDNSReady: corednsReady, MaxOpenFiles: 1 << 20,
	}
	if onOverlay(string(state)) {
		made.Snapshotter = "native"
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil && limit.Max < made.MaxOpenFiles {
		made.MaxOpenFiles = limit.Max
	}
	return made
}

func render(name string, v values) ([]byte, error) {
	text, err := embedded.ReadFile("config/" + name)
	if err != nil {
		return nil, err
	}
	parsed, err := template.New(name).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return nil, err
	}
	var output bytes.Buffer
	err = parsed.Execute(&output, v)
	return output.Bytes(), err
}

func writeConfiguration(state stateFolder) error {
	v := nodeValues(state)
	for name, path := range map[string]string{
		"containerd.toml":   state.config("containerd.toml"),
		"cni.conflist":      state.config("cni/10-" + cniNetwork + ".conflist"),
		"kubelet.yaml":      state.config("kubelet.yaml"),
		"Corefile":          state.config("Corefile"),
		"resolv.conf":       state.config("resolv.conf"),
		"audit-policy.yaml": state.config("audit-policy.yaml"),
		"local-path.json":   state.config("local-path/config.json"),
		"helperPod.yaml":    state.config("local-path/helperPod.yaml"),
	} {
		contents, err := render(name, v)
		if err != nil {
			return err
		}
		if err := writeFile(path, contents, 0o644); err != nil {
			return err
		}
	}
	manifest, err := embedded.ReadFile("manifests/system.yaml")
	if err != nil {
		return err
	}
	return writeFile(state.config("system.yaml"), manifest, 0o644)
}
