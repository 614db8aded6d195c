"""Sends packets from a netns, and reports those that arrive there: run by `packets.py`.

It prints `ready`, reads one line with frames, sends these, and after a second line prints the
addresses and ports of the packets that came in.
"""

import json
import select
import socket
import sys
import time

OUTGOING = 4
PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}


def main() -> None:
    """Send and capture, until the second line."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    tap.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
    tap.bind(("eth0", 0x0800))
    print("ready", flush=True)
    for number, frame in enumerate(json.loads(sys.stdin.readline())):
        tap.send(bytes.fromhex(frame))
        if number % 20 == 19:
            time.sleep(0.002)  # The kernel's backlog is short.
    print("sent", flush=True)
    found = set()
    tap.setblocking(False)
    while True:
        ready, _, _ = select.select([tap, sys.stdin], [], [])
        if tap not in ready:
            break
        data, (_, _, kind, *_) = tap.recvfrom(128)
        start = 14 + (data[14] & 15) * 4
        if kind != OUTGOING and data[23] in PROTOCOLS and len(data) >= start + 4:
            source, target = data[26:30], data[30:34]
            ports = [int.from_bytes(data[start + at : start + at + 2], "big") for at in (0, 2)]
            found.add(
                (socket.inet_ntoa(source), socket.inet_ntoa(target), PROTOCOLS[data[23]], *ports)
            )
    print(json.dumps(sorted(found)))


if __name__ == "__main__":
    main()
