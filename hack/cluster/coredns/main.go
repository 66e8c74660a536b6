// Command coredns is CoreDNS with the nine plugins a cluster without a way out
// needs: the stock program pulls in the cloud providers' SDKs.
// It must never forward a query anywhere.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func init() {
	// Plugins run in this order whatever the Corefile says. Upstream's has template
	// before hosts and kubernetes, and our catch-all NXDOMAIN would answer everything.
	dnsserver.Directives = []string{
		"bind", "health", "ready", "errors", "log", "loadbalance", "hosts", "kubernetes", "template",
	}
}

func main() {
	coremain.Run()
}
