package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"testing"
)

func readCertificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	contents, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(contents)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestAPIServerIsTrustedUnderEveryNameThatPodsAndWeUse(t *testing.T) {
	state := stateFolder(t.TempDir())
	made, err := makePKI(state, nodeAddress, apiserverPort, []string{"admin"})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(made.cluster.pem)
	certificate := readCertificate(t, state.pki("apiserver.crt"))
	for _, name := range []string{
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "kubernetes", "localhost",
		"10.96.0.1", "10.244.0.1", "127.0.0.1", "node1",
	} {
		if _, err := certificate.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := certificate.Verify(x509.VerifyOptions{DNSName: "example.invalid", Roots: roots}); err == nil {
		t.Error("it is trusted under a foreign name, too")
	}
}

func TestKubeletServesUnderItsAddress(t *testing.T) {
	state := stateFolder(t.TempDir())
	made, err := makePKI(state, nodeAddress, apiserverPort, []string{"admin"})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(made.cluster.pem)
	if _, err := readCertificate(t, state.pki("kubelet.crt")).Verify(x509.VerifyOptions{DNSName: nodeAddress, Roots: roots}); err != nil {
		t.Fatal(err)
	}
}

func TestControlPlaneCertificateIsOnlyForLoopback(t *testing.T) {
	if slices.Contains(apiserverHosts("127.0.0.1"), nodeAddress) {
		t.Fatal("it also names the full node's address")
	}
}

func TestNodeIdentityIsWhatTheNodeAuthorizerKnows(t *testing.T) {
	made, err := newAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	certificatePEM, _, err := made.issue(apiUsers["kubelet"])
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(certificatePEM)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if certificate.Subject.CommonName != "system:node:node1" || !slices.Equal(certificate.Subject.Organization, []string{"system:nodes"}) {
		t.Fatalf("subject %v", certificate.Subject)
	}
	if !slices.Equal(certificate.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) {
		t.Fatalf("usages %v", certificate.ExtKeyUsage)
	}
}

func TestKubeletClientOfTheAPIServerIsNoAdministrator(t *testing.T) {
	state := stateFolder(t.TempDir())
	if _, err := makePKI(state, nodeAddress, apiserverPort, []string{"admin"}); err != nil {
		t.Fatal(err)
	}
	if groups := readCertificate(t, state.pki("apiserver-kubelet-client.crt")).Subject.Organization; len(groups) != 0 {
		t.Fatalf("it is in the groups %v", groups)
	}
}

func TestAuthoritySurvivesARestartAndKeysArePrivate(t *testing.T) {
	state := stateFolder(t.TempDir())
	first, err := makePKI(state, nodeAddress, apiserverPort, []string{"admin"})
	if err != nil {
		t.Fatal(err)
	}
	serviceAccounts, err := os.ReadFile(state.pki("sa.key"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := makePKI(state, nodeAddress, apiserverPort, []string{"admin"})
	if err != nil {
		t.Fatal(err)
	}
	if !first.cluster.certificate.Equal(second.cluster.certificate) {
		t.Error("another authority: kubeconfigs that were copied no longer work")
	}
	if again, _ := os.ReadFile(state.pki("sa.key")); string(again) != string(serviceAccounts) {
		t.Error("another service account key: all tokens are void")
	}
	for _, path := range []string{state.pki("ca.key"), state.pki("sa.key"), state.pki("apiserver.key"), state.adminKubeconfig()} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}
