module wirecheck.test/testbed/policy-oracles

go 1.24.0

require (
	github.com/mattfenwick/cyclonus v0.5.6
	sigs.k8s.io/kube-network-policies v0.8.0
	sigs.k8s.io/network-policy-api v0.1.6-0.20250401132235-45061d10895e
)
