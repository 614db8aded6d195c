module wirecheck.test/testbed/coredns-1.14.6

go 1.24.0

tool github.com/coredns/coredns

require github.com/coredns/coredns v1.14.6
