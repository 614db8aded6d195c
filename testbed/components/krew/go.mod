module wirecheck.test/testbed/krew

go 1.24.0

tool sigs.k8s.io/krew/cmd/krew

require sigs.k8s.io/krew v0.4.3
