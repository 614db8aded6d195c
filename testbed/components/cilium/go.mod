module wirecheck.test/testbed/cilium

go 1.26.0

tool (
	github.com/cilium/cilium/cilium-health/responder
	github.com/cilium/cilium/daemon
	github.com/cilium/cilium/plugins/cilium-cni
)

require github.com/cilium/cilium v1.20.2

replace (
	// A copy of the module with the files of `replaced` over it, made at build time.
	github.com/cilium/cilium => ./src
	// As in Cilium's own go.mod: only the main module's replacements count.
	sigs.k8s.io/controller-tools => github.com/cilium/controller-tools v0.21.0-1
)
