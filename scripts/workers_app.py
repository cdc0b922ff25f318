"""What `scripts.workers` has served: `work.nap`, which takes a while beside others."""

from __future__ import annotations

import asyncio
import os

from mesh import Request, Service

__all__ = ["work"]

work = Service("work", version="1.0.0")


@work.method(raw=True)
async def nap(request: Request) -> bytes:
    """Take as long as the second word of the body says, and return the id of this process."""
    await asyncio.sleep(float(request.body.split()[1]))
    return str(os.getpid()).encode()
