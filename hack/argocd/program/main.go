// Command argocd is what Argo CD needs to sync from Git, and its command line, in
// one binary, chosen by the name it is called by: the application controller, the
// repository server, argocd, and the kustomize that the repository server runs.
// It must never add behaviour of its own: each program is upstream's main. The API
// server with its user interface is left out, its pages are not in the Go module.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	repository "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	argocd "github.com/argoproj/argo-cd/v3/cmd/argocd/commands"
	"github.com/argoproj/argo-cd/v3/util/log"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	kustomize "sigs.k8s.io/kustomize/kustomize/v5/commands"
)

var programs = map[string]func() *cobra.Command{
	"argocd":                        argocd.NewCommand,
	"argocd-application-controller": controller.NewCommand,
	"argocd-repo-server":            repository.NewCommand,
	"kustomize":                     kustomize.NewDefaultCommand,
}

func main() {
	command, known := programs[filepath.Base(os.Args[0])]
	if !known {
		fmt.Fprintf(os.Stderr, "%s: call it through a link named argocd, argocd-application-controller, argocd-repo-server or kustomize\n", os.Args[0])
		os.Exit(2)
	}
	klog.SetLogger(log.NewLogrusLogger(log.NewWithCurrentConfig()))
	if err := command().Execute(); err != nil {
		os.Exit(1)
	}
}
