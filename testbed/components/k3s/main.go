// The kubelet and kube-proxy in one process, as in k3s. Their arguments are in a file, so neither
// of the two, nor any of their options, can be seen in the list of processes.
package main

import (
	"context"
	"log"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
	"sigs.k8s.io/yaml"
)

const (
	configuration = "/etc/rancher/k3s/config.yaml"
	programs      = "/var/lib/rancher/k3s/data/current/bin"
	credentials   = "/var/lib/rancher/k3s/agent/kubeproxy.kubeconfig"
	staged        = "K3S_DATA_DIR"
)

type arguments struct {
	Kubelet   []string `json:"kubelet-arg"`
	KubeProxy []string `json:"kube-proxy-arg"`
}

func main() {
	if os.Getenv(staged) == "" {
		stage()
	}
	text, err := os.ReadFile(configuration)
	if err != nil {
		log.Fatal(err)
	}
	var given arguments
	if err := yaml.UnmarshalStrict(text, &given); err != nil {
		log.Fatalf("%s: %v", configuration, err)
	}
	// Either of the two sets the process up for logging, and the second is refused otherwise.
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	go func() {
		// On the first node the kubelet starts the API server, which then gives credentials out.
		for !exists(credentials) {
			time.Sleep(time.Second)
		}
		run(proxy.NewProxyCommand(), given.KubeProxy)
	}()
	run(kubelet.NewKubeletCommand(context.Background()), given.Kubelet)
}

// stage starts the program again as k3s does: under the name of the agent, with its own tools first.
func stage() {
	path := programs + ":" + programs + "/aux:" + os.Getenv("PATH")
	environment := append(os.Environ(), staged+"="+programs, "PATH="+path)
	log.Fatal(syscall.Exec(programs+"/k3s-agent", os.Args, environment))
}

func run(command *cobra.Command, options []string) {
	for i, each := range options {
		options[i] = "--" + strings.TrimPrefix(each, "--")
	}
	command.SetArgs(options)
	log.Fatalf("%s exited: %v", command.Use, command.Execute())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
