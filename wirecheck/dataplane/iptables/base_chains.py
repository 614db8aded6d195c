"""The variants of iptables, and the tables that have a base chain at each hook."""

VARIANTS = ("nft", "legacy")

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = (
    "prerouting",
    "input",
    "forward",
    "output",
    "postrouting",
)
TABLES = {
    PREROUTING: {"raw": -300, "mangle": -150, "nat": -100},
    INPUT: {"mangle": -150, "filter": 0, "security": 50, "nat": 100},
    FORWARD: {"mangle": -150, "filter": 0, "security": 50},
    OUTPUT: {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50},
    POSTROUTING: {"mangle": -150, "nat": 100},
}
"""The tables with their priorities (NF_IP_PRI_*)."""
