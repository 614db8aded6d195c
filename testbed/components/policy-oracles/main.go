// Answers questions about random clusters by programs that evaluate NetworkPolicies themselves:
// the matcher of Cyclonus, and the engine of kube-network-policies. One JSON document a line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	adminv1alpha1 "sigs.k8s.io/network-policy-api/apis/v1alpha1"
)

type question struct {
	Source   int    `json:"source"`
	Target   int    `json:"target"`
	Protocol string `json:"protocol"`
	Port     int    `json:"port"`
}

// document is one cluster. Numbers of ends count the pods, then the addresses outside.
type document struct {
	Namespaces []*corev1.Namespace           `json:"namespaces"`
	Pods       []*corev1.Pod                 `json:"pods"`
	Outside    []string                      `json:"outside"`
	Policies   []*networkingv1.NetworkPolicy `json:"policies"`
	Questions  []question                    `json:"questions"`

	Admin    []*adminv1alpha1.AdminNetworkPolicy         `json:"admin"`
	Baseline []*adminv1alpha1.BaselineAdminNetworkPolicy `json:"baseline"`
}

func (d *document) pod(number int) *corev1.Pod {
	if number < len(d.Pods) {
		return d.Pods[number]
	}
	return nil
}

func (d *document) address(number int) string {
	if pod := d.pod(number); pod != nil {
		return pod.Status.PodIPs[0].IP
	}
	return d.Outside[number-len(d.Pods)]
}

// setDefaults does what the API server does when it stores a policy: an empty list is none.
func setDefaults(policy *networkingv1.NetworkPolicy) {
	spec := &policy.Spec
	if len(spec.Ingress) == 0 {
		spec.Ingress = nil
	}
	if len(spec.PolicyTypes) == 0 {
		spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(spec.Egress) > 0 {
			spec.PolicyTypes = append(spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	if len(spec.Egress) == 0 {
		spec.Egress = nil
	}
	tcp := corev1.ProtocolTCP
	ports := [][]networkingv1.NetworkPolicyPort{}
	for _, rule := range spec.Ingress {
		ports = append(ports, rule.Ports)
	}
	for _, rule := range spec.Egress {
		ports = append(ports, rule.Ports)
	}
	for _, of := range ports {
		for at := range of {
			if of[at].Protocol == nil {
				of[at].Protocol = &tcp
			}
		}
	}
}

// setPodDefaults does the same for a pod.
func setPodDefaults(pod *corev1.Pod) {
	if len(pod.Status.PodIPs) == 0 && pod.Status.PodIP != "" {
		pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
	}
	for _, container := range pod.Spec.Containers {
		for at := range container.Ports {
			if container.Ports[at].Protocol == "" {
				container.Ports[at].Protocol = corev1.ProtocolTCP
			}
		}
	}
}

type engine func(*document) ([]bool, error)

func main() {
	engines := map[string]func() (engine, error){
		"cyclonus":              newCyclonus,
		"kube-network-policies": newKubeNetworkPolicies,
	}
	if len(os.Args) != 2 || engines[os.Args[1]] == nil {
		fatal(fmt.Errorf("usage: policy-oracles cyclonus|kube-network-policies"))
	}
	answer, err := engines[os.Args[1]]()
	if err != nil {
		fatal(err)
	}
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var read document
		if err := json.Unmarshal(line, &read); err != nil {
			fatal(err)
		}
		for _, policy := range read.Policies {
			setDefaults(policy)
		}
		for _, pod := range read.Pods {
			setPodDefaults(pod)
		}
		answers, err := answer(&read)
		if err != nil {
			fatal(err)
		}
		text, _ := json.Marshal(answers)
		fmt.Println(string(text))
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
