module wirecheck.test/testbed/sonobuoy

go 1.24.0

tool github.com/vmware-tanzu/sonobuoy

require github.com/vmware-tanzu/sonobuoy v0.57.3
