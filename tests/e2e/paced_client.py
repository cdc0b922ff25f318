"""A client on a host of its own: calls `work.echo` fifty times a second and prints who answered, and its addresses.

python tests/e2e/paced_client.py REALM
"""

from __future__ import annotations

import sys
import time

from mesh import CallError, Client

with Client(servers=[], realm=sys.argv[1]) as client:
    while True:
        try:
            name = client.request("work.echo", b"call 0", timeout=1.0).body.decode()
        except CallError as error:
            print("failed:", error, flush=True)
        else:
            alive = {server.name: server.addresses for server in client.servers() if server.state == "alive"}
            print(f"{len(alive)} alive; answered by {name}", *alive.get(name, ()), flush=True)
        time.sleep(0.02)
