package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// The cluster's certificates. The two authorities and the service account key
// stay as long as the state folder; all else is issued again at every start, so
// nothing expires in a cluster that is restarted once a year.

const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
	// Virtual machines that were paused come back with clocks behind the files'.
	clockSlack = time.Hour
)

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

// request describes one certificate.
type request struct {
	commonName   string
	organization []string // groups, for Kubernetes
	hosts        []string // DNS names and addresses it serves; a server certificate if any
	client       bool
}

func serialNumber() *big.Int {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // the kernel's generator does not fail
	}
	return number
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func decodeKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block in the key file")
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

func newAuthority(commonName string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	identifier := sha256.Sum256(public)
	template := &x509.Certificate{
		SerialNumber:          serialNumber(),
		Subject:               pkix.Name{CommonName: commonName},
		SubjectKeyId:          identifier[:20],
		NotBefore:             time.Now().Add(-clockSlack),
		NotAfter:              time.Now().Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// loadAuthority reads an authority, or makes it where there is none.
func loadAuthority(certificateFile, keyFile, commonName string) (*authority, error) {
	if exists(certificateFile) && exists(keyFile) {
		certificatePEM, err := os.ReadFile(certificateFile)
		if err != nil {
			return nil, err
		}
		keyPEM, err := os.ReadFile(keyFile)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(certificatePEM)
		if block == nil {
			return nil, fmt.Errorf("no certificate in %s", certificateFile)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", certificateFile, err)
		}
		key, err := decodeKey(keyPEM)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", keyFile, err)
		}
		return &authority{certificate, key, certificatePEM}, nil
	}
	made, err := newAuthority(commonName)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(made.key)
	if err != nil {
		return nil, err
	}
	// The certificate last: it is what says that the pair is whole.
	if err := writeFile(keyFile, keyPEM, 0o600); err != nil {
		return nil, err
	}
	return made, writeFile(certificateFile, made.pem, 0o644)
}

func (a *authority) issue(r request) (certificatePEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serialNumber(),
		Subject:      pkix.Name{CommonName: r.commonName, Organization: r.organization},
		NotBefore:    time.Now().Add(-clockSlack),
		NotAfter:     time.Now().Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	for _, host := range r.hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if len(r.hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if r.client {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = encodeKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM, err
}

// pki is the certificates of one state folder.
type pki struct {
	state   stateFolder
	cluster *authority
	proxy   *authority
	admin   tls.Certificate
	server  string // https://address:port
}

// apiserverHosts are all names by which somebody calls the API server. Pods use
// the Service's names and address, we and the node the address it binds to.
func apiserverHosts(bindAddress string) []string {
	hosts := []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + clusterDomain, "localhost",
		serviceAddress, "127.0.0.1",
	}
	if bindAddress != "127.0.0.1" {
		hosts = append(hosts, nodeName, bindAddress)
	}
	return hosts
}

// apiUsers are who calls the API server with a client certificate.
var apiUsers = map[string]request{
	"admin":                   {commonName: "kubernetes-admin", organization: []string{"system:masters"}, client: true},
	"kube-controller-manager": {commonName: "system:kube-controller-manager", client: true},
	"kube-scheduler":          {commonName: "system:kube-scheduler", client: true},
	"kube-proxy":              {commonName: "system:kube-proxy", client: true},
	// Exactly this name and group, or the Node authorizer does not know the node.
	"kubelet": {commonName: "system:node:" + nodeName, organization: []string{"system:nodes"}, client: true},
}

// makePKI writes the authorities, the servers' certificates and one kubeconfig
// for each user.
func makePKI(state stateFolder, bindAddress, port string, users []string) (*pki, error) {
	if err := os.MkdirAll(state.path("pki"), 0o700); err != nil {
		return nil, err
	}
	cluster, err := loadAuthority(state.pki("ca.crt"), state.pki("ca.key"), "tradingbot-cluster")
	if err != nil {
		return nil, err
	}
	frontProxy, err := loadAuthority(state.pki("front-proxy-ca.crt"), state.pki("front-proxy-ca.key"), "tradingbot-cluster-front-proxy")
	if err != nil {
		return nil, err
	}
	made := &pki{state: state, cluster: cluster, proxy: frontProxy, server: "https://" + net.JoinHostPort(bindAddress, port)}
	if !exists(state.pki("sa.pub")) {
		if err := makeServiceAccountKey(state); err != nil {
			return nil, err
		}
	}
	loopback := []string{"localhost", "127.0.0.1"}
	for name, issue := range map[string]struct {
		by *authority
		request
	}{
		"apiserver": {cluster, request{commonName: "kube-apiserver", hosts: apiserverHosts(bindAddress)}},
		// Not in system:masters: a binding to system:kubelet-api-admin gives it
		// logs, exec and port-forward, and no more.
		"apiserver-kubelet-client": {cluster, request{commonName: "kube-apiserver-kubelet-client", client: true}},
		"front-proxy-client":       {frontProxy, request{commonName: "front-proxy-client", client: true}},
		"kubelet":                  {cluster, request{commonName: "system:node:" + nodeName, hosts: []string{nodeName, nodeAddress, "127.0.0.1"}}},
		"kube-controller-manager":  {cluster, request{commonName: "kube-controller-manager", hosts: loopback}},
		"kube-scheduler":           {cluster, request{commonName: "kube-scheduler", hosts: loopback}},
	} {
		certificatePEM, keyPEM, err := issue.by.issue(issue.request)
		if err != nil {
			return nil, fmt.Errorf("certificate for %s: %w", name, err)
		}
		if err := writeFile(state.pki(name+".key"), keyPEM, 0o600); err != nil {
			return nil, err
		}
		if err := writeFile(state.pki(name+".crt"), certificatePEM, 0o644); err != nil {
			return nil, err
		}
	}
	for _, user := range users {
		certificatePEM, keyPEM, err := cluster.issue(apiUsers[user])
		if err != nil {
			return nil, fmt.Errorf("certificate for %s: %w", user, err)
		}
		path := state.kubeconfig(user)
		if user == "admin" {
			path = state.adminKubeconfig()
			if made.admin, err = tls.X509KeyPair(certificatePEM, keyPEM); err != nil {
				return nil, err
			}
		}
		credentials := fmt.Sprintf("    client-certificate-data: %s\n    client-key-data: %s\n", encode(certificatePEM), encode(keyPEM))
		if err := writeFile(path, kubeconfig(made.server, cluster.pem, user, credentials), 0o600); err != nil {
			return nil, err
		}
	}
	return made, nil
}

func makeServiceAccountKey(state stateFolder) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := writeFile(state.pki("sa.key"), keyPEM, 0o600); err != nil {
		return err
	}
	return writeFile(state.pki("sa.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o644)
}

func encode(contents []byte) string { return base64.StdEncoding.EncodeToString(contents) }

func kubeconfig(server string, authorityPEM []byte, user, credentials string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: tradingbot
clusters:
- name: tradingbot
  cluster:
    server: %s
    certificate-authority-data: %s
contexts:
- name: tradingbot
  context:
    cluster: tradingbot
    user: %s
users:
- name: %s
  user:
%s`, server, encode(authorityPEM), user, user, credentials)
}

// tokenKubeconfig is for what runs on this machine as a service account.
func (p *pki) tokenKubeconfig(user, token string) error {
	return writeFile(p.state.kubeconfig(user), kubeconfig(p.server, p.cluster.pem, user, "    token: "+token+"\n"), 0o600)
}
