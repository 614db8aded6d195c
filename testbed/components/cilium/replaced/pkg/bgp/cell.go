// Package bgp of the copy of Cilium that the test cluster builds, without the BGP control plane.
//
// The real file imports github.com/osrg/gobgp/v4, which the module proxy does not serve in the
// version that Cilium asks for. The test cluster speaks no BGP. What the agent cannot start
// without stays: the flags of the configuration, and handlers for the three BGP requests of the
// agent's API, which answer "not implemented".
package bgp

import (
	"net/http"

	"github.com/go-openapi/runtime/middleware"

	"github.com/cilium/hive/cell"

	restapi "github.com/cilium/cilium/api/v1/server/restapi/bgp"
	"github.com/cilium/cilium/pkg/bgp/option"
)

type peers struct{}
type routes struct{}
type routePolicies struct{}

var Cell = cell.Module(
	"bgp-control-plane",
	"BGP Control Plane - not built into this agent",

	cell.Config(option.DefaultConfig),
	cell.Provide(handlers),
)

func handlers() (restapi.GetBgpPeersHandler, restapi.GetBgpRoutesHandler, restapi.GetBgpRoutePoliciesHandler) {
	return peers{}, routes{}, routePolicies{}
}

func (peers) Handle(restapi.GetBgpPeersParams) middleware.Responder {
	return notBuilt()
}

func (routes) Handle(restapi.GetBgpRoutesParams) middleware.Responder {
	return notBuilt()
}

func (routePolicies) Handle(restapi.GetBgpRoutePoliciesParams) middleware.Responder {
	return notBuilt()
}

func notBuilt() middleware.Responder {
	return middleware.Error(http.StatusNotImplemented, "the BGP control plane is not built into this agent")
}
