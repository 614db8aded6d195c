module wirecheck.test/testbed/cilium-load-balancer

go 1.26.0

tool github.com/cilium/cilium/pkg/loadbalancer/repl

require github.com/cilium/cilium v1.20.2

// The version that Cilium's own go.mod names is not under its own path.
replace sigs.k8s.io/controller-tools => github.com/cilium/controller-tools v0.21.0-1
