"""The built-in service: gives back what it gets."""

from __future__ import annotations

from importlib.metadata import version

from mesh import Request, Service

__all__ = ["echo_service"]


def echo_service() -> Service:
    """Return the service `echo` with its raw method `echo.echo`."""
    echo = Service("echo", version=version("freelance-mesh"), description="gives back the frames of a call")

    @echo.method(name="echo", raw=True)
    def give_back(request: Request) -> list[bytes]:
        """Return the frames as they came."""
        return request.frames

    return echo
