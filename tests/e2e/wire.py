"""A wire in user space that delays and loses: takes frames from one interface and puts them on another.

    python -m tests.e2e.wire INTERFACE INTERFACE DELAY_S LOSS

It prints `ready` when it listens, and runs until it is ended. The kernel here has no netem.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import select
import socket
import time

_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_OCTETS = 1 << 17
_BUFFER_OCTETS = 1 << 22


def _open(interface: str) -> socket.socket:
    # Protocol 0 until it is bound: nothing of other interfaces comes in.
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    # Hands over what the sender left to the network card (checksums, cutting into segments) and takes it back:
    # without it no TCP gets through, unless all of that is turned off at both ends.
    end.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    end.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
    end.bind((interface, _ETH_P_ALL))
    end.setblocking(False)
    return end


def main() -> None:
    """Forward until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("interfaces", nargs=2)
    parser.add_argument("delay_s", type=float)
    parser.add_argument("loss", type=float)
    given = parser.parse_args()
    one, other = map(_open, given.interfaces)
    across = {one: other, other: one}
    # The same losses each time.
    rng = random.Random(1)
    numbers = itertools.count()
    under_way: list[tuple[float, int, socket.socket, bytes]] = []
    print("ready", flush=True)
    while True:
        wait_s = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select([one, other], [], [], wait_s)[0]:
            frame = end.recv(_OCTETS)
            if rng.random() >= given.loss:
                heapq.heappush(under_way, (time.monotonic() + given.delay_s, next(numbers), across[end], frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(under_way)
            try:
                end.send(frame)
            except BlockingIOError:
                pass  # its queue is full: a loss like any other


if __name__ == "__main__":
    main()
