"""Looking: the API and the nodes. All input of wirecheck, and none of its judgement."""
