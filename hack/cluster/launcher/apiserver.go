package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// The components that both kinds of cluster have: etcd, API server, controller
// manager. A binary may come from us or from KUBEBUILDER_ASSETS.

func etcd(state stateFolder, program, clientPort, peerPort, usual string) component {
	client, peer := "http://"+net.JoinHostPort("127.0.0.1", clientPort), "http://"+net.JoinHostPort("127.0.0.1", peerPort)
	return component{
		name: "etcd", program: program, usual: usual, limit: time.Minute,
		arguments: []string{
			"--name=" + nodeName, "--data-dir=" + state.path("etcd"),
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=" + nodeName + "=" + peer,
			// A test cluster: the data survive a crash of the process, not a power cut.
			"--unsafe-no-fsync",
		},
		ready: httpReady(client + "/health"),
		hint:  "if its port is taken, another etcd listens there; if the data are damaged, remove " + state.path("etcd"),
	}
}

func httpReady(url string) func(context.Context) error {
	return answersOK(url, &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{Proxy: nil}})
}

// httpsReady asks a health endpoint, as nobody.
func httpsReady(url, authorityFile string) func(context.Context) error {
	client, err := anonymousClient(authorityFile)
	if err != nil {
		return func(context.Context) error { return err }
	}
	return answersOK(url, client)
}

func answersOK(url string, client *http.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		return nil
	}
}

// apiserverArguments are those that do not depend on there being a node.
func apiserverArguments(state stateFolder, bindAddress, port, etcdPort string) []string {
	return []string{
		"--etcd-servers=http://" + net.JoinHostPort("127.0.0.1", etcdPort),
		"--bind-address=" + bindAddress, "--advertise-address=" + bindAddress, "--secure-port=" + port,
		"--service-cluster-ip-range=" + serviceRange,
		"--allow-privileged=true",
		"--client-ca-file=" + state.pki("ca.crt"),
		"--tls-cert-file=" + state.pki("apiserver.crt"), "--tls-private-key-file=" + state.pki("apiserver.key"),
		"--service-account-issuer=" + clusterIssuer,
		"--service-account-key-file=" + state.pki("sa.pub"),
		"--service-account-signing-key-file=" + state.pki("sa.key"),
		"--requestheader-client-ca-file=" + state.pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group", "--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + state.pki("front-proxy-client.crt"),
		"--proxy-client-key-file=" + state.pki("front-proxy-client.key"),
		"--profiling=false",
	}
}

func controllerManager(state stateFolder, program, port string, client *apiClient, usual string) component {
	config := state.kubeconfig("kube-controller-manager")
	arguments := []string{
		"--bind-address=127.0.0.1", "--secure-port=" + port,
		"--tls-cert-file=" + state.pki("kube-controller-manager.crt"),
		"--tls-private-key-file=" + state.pki("kube-controller-manager.key"),
		"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
		"--leader-elect=false", // alone: no lease to wait for
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + state.pki("sa.key"),
		"--root-ca-file=" + state.pki("ca.crt"), // publishes kube-root-ca.crt
		"--cluster-signing-cert-file=" + state.pki("ca.crt"), "--cluster-signing-key-file=" + state.pki("ca.key"),
		"--requestheader-client-ca-file=" + state.pki("front-proxy-ca.crt"),
		"--service-cluster-ip-range=" + serviceRange, "--cluster-cidr=" + podRange, "--allocate-node-cidrs=false",
		// At the default 20 the tokens of its thirty controllers take 5 s, and
		// service accounts come late.
		"--kube-api-qps=200", "--kube-api-burst=400",
		"--flex-volume-plugin-dir=" + state.path("kubelet", "volumeplugins"),
	}
	serves := httpsReady("https://"+net.JoinHostPort("127.0.0.1", port)+"/healthz", state.pki("ca.crt"))
	// Serving, and pods can be made in the namespace default.
	ready := func(ctx context.Context) error {
		if err := serves(ctx); err != nil {
			return err
		}
		if err := client.get(ctx, "/api/v1/namespaces/default/serviceaccounts/default", nil); err != nil {
			return err
		}
		return client.get(ctx, "/api/v1/namespaces/default/configmaps/kube-root-ca.crt", nil)
	}
	return component{name: "kube-controller-manager", program: program, usual: usual, arguments: arguments, ready: ready}
}
