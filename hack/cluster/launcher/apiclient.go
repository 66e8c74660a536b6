package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// apiClient is the little of a Kubernetes client that starting a cluster needs:
// is it ready, what is the node's state, a token for a service account.
type apiClient struct {
	server string
	http   *http.Client
}

func (p *pki) client() *apiClient {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.cluster.pem)
	return &apiClient{
		server: p.server,
		http: &http.Client{
			Timeout: 5 * time.Second,
			Transport: &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{p.admin}, MinVersion: tls.VersionTLS12},
				Proxy:           nil, // the machine's proxy cannot reach the cluster
			},
		},
	}
}

func (c *apiClient) do(ctx context.Context, method, path string, body, result any) error {
	var payload io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.server+path, payload)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	contents, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %.300s", method, path, response.Status, contents)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(contents, result)
}

func (c *apiClient) ready(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/readyz", nil, nil)
}

func (c *apiClient) get(ctx context.Context, path string, result any) error {
	return c.do(ctx, http.MethodGet, path, nil, result)
}

// token makes a bound token for a service account, as `kubectl create token` does.
func (c *apiClient) token(ctx context.Context, namespace, account string, life time.Duration) (string, error) {
	type tokenSpec struct {
		ExpirationSeconds int64 `json:"expirationSeconds"`
	}
	var reply struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	err := c.do(ctx, http.MethodPost,
		fmt.Sprintf("/api/v1/namespaces/%s/serviceaccounts/%s/token", namespace, account),
		map[string]any{
			"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
			"spec": tokenSpec{ExpirationSeconds: int64(life.Seconds())},
		}, &reply)
	return reply.Status.Token, err
}

type nodeObject struct {
	Status struct {
		Conditions []struct {
			Type              string    `json:"type"`
			Status            string    `json:"status"`
			Message           string    `json:"message"`
			LastHeartbeatTime time.Time `json:"lastHeartbeatTime"`
		} `json:"conditions"`
	} `json:"status"`
}

// nodeReady wants a Ready that was reported after since: the object of the
// cluster's last run may still say so.
func (c *apiClient) nodeReady(ctx context.Context, since time.Time) error {
	var node nodeObject
	if err := c.get(ctx, "/api/v1/nodes/"+nodeName, &node); err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type != "Ready" {
			continue
		}
		if condition.Status == "True" && !condition.LastHeartbeatTime.Before(since.Truncate(time.Second)) {
			return nil
		}
		return fmt.Errorf("node %s is not ready: %s", nodeName, condition.Message)
	}
	return fmt.Errorf("node %s has not reported yet", nodeName)
}

// anonymousClient knows the server, but does not say who it is.
func anonymousClient(certificateFile string) (*http.Client, error) {
	contents, err := os.ReadFile(certificateFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(contents)
	return &http.Client{
		Timeout:   2 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Proxy: nil},
	}, nil
}
