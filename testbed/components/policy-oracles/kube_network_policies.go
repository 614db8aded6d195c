package main

import (
	"context"
	"net"
	_ "unsafe" // for go:linkname

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
	adminfake "sigs.k8s.io/network-policy-api/pkg/client/clientset/versioned/fake"
	admininformers "sigs.k8s.io/network-policy-api/pkg/client/informers/externalversions"
)

// packet has the fields of the engine's own type, which it does not export.
type packet struct {
	id      uint32
	family  corev1.IPFamily
	srcIP   net.IP
	dstIP   net.IP
	proto   corev1.Protocol
	srcPort int
	dstPort int
	payload []byte
}

//go:linkname evaluatePacket sigs.k8s.io/kube-network-policies/pkg/networkpolicy.(*Controller).evaluatePacket
func evaluatePacket(*networkpolicy.Controller, context.Context, packet) bool

func newKubeNetworkPolicies() (engine, error) {
	client := fake.NewClientset()
	factory := informers.NewSharedInformerFactory(client, 0)
	policies := factory.Networking().V1().NetworkPolicies()
	namespaces, pods := factory.Core().V1().Namespaces(), factory.Core().V1().Pods()
	nodes := factory.Core().V1().Nodes()
	admins := adminfake.NewSimpleClientset()
	ofAdmins := admininformers.NewSharedInformerFactory(admins, 0).Policy().V1alpha1()
	admin, baseline := ofAdmins.AdminNetworkPolicies(), ofAdmins.BaselineAdminNetworkPolicies()
	config := networkpolicy.Config{
		NodeName: "none", AdminNetworkPolicy: true, BaselineAdminNetworkPolicy: true,
	}
	controller, err := networkpolicy.NewController(
		client, policies, namespaces, pods, nodes, admins, admin, baseline, config,
	)
	if err != nil {
		return nil, err
	}
	return func(d *document) ([]bool, error) {
		if err := fill(policies.Informer(), d.Policies); err != nil {
			return nil, err
		}
		if err := fill(namespaces.Informer(), d.Namespaces); err != nil {
			return nil, err
		}
		if err := fill(pods.Informer(), d.Pods); err != nil {
			return nil, err
		}
		if err := fill(admin.Informer(), d.Admin); err != nil {
			return nil, err
		}
		if err := fill(baseline.Informer(), d.Baseline); err != nil {
			return nil, err
		}
		answers := make([]bool, 0, len(d.Questions))
		for _, each := range d.Questions {
			answers = append(answers, evaluatePacket(controller, context.Background(), packet{
				family:  corev1.IPv4Protocol,
				srcIP:   net.ParseIP(d.address(each.Source)),
				dstIP:   net.ParseIP(d.address(each.Target)),
				proto:   corev1.Protocol(each.Protocol),
				srcPort: 40000,
				dstPort: each.Port,
			}))
		}
		return answers, nil
	}, nil
}

func fill[T any](informer cache.SharedIndexInformer, objects []T) error {
	items := make([]any, 0, len(objects))
	for _, each := range objects {
		items = append(items, each)
	}
	return informer.GetIndexer().Replace(items, "")
}
