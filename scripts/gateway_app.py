"""What the gateway is measured and attacked with: a service, and the same answered by the framework alone.

mesh serve scripts/gateway_app.py
python -m scripts.gateway_app PORT    # Starlette on uvicorn, as their documentation says, and no mesh
"""

from __future__ import annotations

import asyncio
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as WebRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mesh import Request, Service

__all__ = ["work"]

work = Service("work", version="1.0.0")


@work.method(read_only=True)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@work.method(raw=True)
def echo(request: Request) -> list[bytes]:
    """Give back what comes."""
    return request.frames


@work.method(raw=True)
async def nap(request: Request) -> bytes:
    """Take as many seconds as the body says."""
    await asyncio.sleep(float(request.body))
    return b"rested"


async def _add(request: WebRequest) -> Response:
    given = await request.json()
    return JSONResponse(add(**given))


async def _echo(request: WebRequest) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


def main() -> None:
    """Answer until SIGTERM."""
    routes = [Route(f"/v1/call/work/{view.__name__[1:]}", view, methods=["POST"]) for view in (_add, _echo)]
    uvicorn.run(Starlette(routes=routes), port=int(sys.argv[1]), http="httptools", log_level="error", access_log=False)


if __name__ == "__main__":
    main()
