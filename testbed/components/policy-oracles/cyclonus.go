package main

import (
	"github.com/mattfenwick/cyclonus/pkg/matcher"
	corev1 "k8s.io/api/core/v1"
)

func newCyclonus() (engine, error) {
	return func(d *document) ([]bool, error) {
		labels := map[string]map[string]string{}
		for _, each := range d.Namespaces {
			labels[each.Name] = each.Labels
		}
		policy := matcher.BuildNetworkPolicies(false, d.Policies)
		answers := make([]bool, 0, len(d.Questions))
		for _, each := range d.Questions {
			answers = append(answers, cyclonusAllows(policy, d, labels, each))
		}
		return answers, nil
	}, nil
}

// cyclonusAllows asks once for each name that the port has in the target, because a connection can
// be asked about with one name only.
func cyclonusAllows(
	policy *matcher.Policy, d *document, labels map[string]map[string]string, of question,
) bool {
	for _, name := range namesOf(d.pod(of.Target), of) {
		traffic := &matcher.Traffic{
			Source:           cyclonusPeer(d, labels, of.Source),
			Destination:      cyclonusPeer(d, labels, of.Target),
			ResolvedPort:     of.Port,
			ResolvedPortName: name,
			Protocol:         corev1.Protocol(of.Protocol),
		}
		if policy.IsTrafficAllowed(traffic).IsAllowed() {
			return true
		}
	}
	return false
}

func namesOf(pod *corev1.Pod, of question) []string {
	names := []string{""}
	if pod == nil {
		return names
	}
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if int(port.ContainerPort) == of.Port && string(port.Protocol) == of.Protocol {
				names = append(names, port.Name)
			}
		}
	}
	return names
}

func cyclonusPeer(
	d *document, labels map[string]map[string]string, number int,
) *matcher.TrafficPeer {
	peer := &matcher.TrafficPeer{IP: d.address(number)}
	if pod := d.pod(number); pod != nil {
		peer.Internal = &matcher.InternalPeer{
			PodLabels:       pod.Labels,
			NamespaceLabels: labels[pod.Namespace],
			Namespace:       pod.Namespace,
		}
	}
	return peer
}
