module wirecheck.test/testbed/helm

go 1.24.0

tool helm.sh/helm/v4/cmd/helm

require helm.sh/helm/v4 v4.3.2
