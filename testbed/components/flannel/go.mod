module wirecheck.test/testbed/flannel

go 1.24.0

tool github.com/flannel-io/flannel

require github.com/flannel-io/flannel v0.28.10

// The versions that flannel asks for are not served.
replace (
	github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common => github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common v1.0.1000
	github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/vpc => github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/vpc v1.0.1000
)
