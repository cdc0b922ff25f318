"""`--metrics`: where a program shows what it has counted, and who may see that."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mesh.cli.exits import UsageError

if TYPE_CHECKING:
    from mesh.metrics import MetricsEndpoint

__all__ = ["add_metrics_options", "check_metrics_options", "open_metrics"]

_ADDRESS = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]\s]+):)?(?P<port>\d{1,5})")


def add_metrics_options(parser: argparse.ArgumentParser) -> None:
    """Add where metrics are shown, and whether to others than this machine."""
    parser.add_argument(
        "--metrics",
        type=_address,
        metavar="[HOST:]PORT",
        help="show metrics for Prometheus at http://HOST:PORT/metrics; of this machine unless HOST is another "
        "(9464 is the usual port)",
    )
    parser.add_argument(
        "--metrics-public", action="store_true", help="let HOST be an address at which others reach them, without a key"
    )


def check_metrics_options(args: argparse.Namespace) -> None:
    """Raise UsageError for options that cannot be used: before anything is opened."""
    if args.metrics is None:
        if args.metrics_public:
            raise UsageError("--metrics-public is about metrics; give --metrics HOST:PORT as well")
        return
    try:
        from mesh.metrics import is_loopback
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed; pip install 'freelance-mesh[metrics]'") from None
    host, port = args.metrics
    if not args.metrics_public and not is_loopback(host):
        raise UsageError(
            f"--metrics {host}:{port} would show methods and servers to whoever reaches that address; "
            f"give 127.0.0.1:{port}, or --metrics-public if that is wanted"
        )


@contextlib.contextmanager
def open_metrics(args: argparse.Namespace) -> Iterator[MetricsEndpoint | None]:
    """Show metrics as long as the block lasts, if that is wanted: of this process, and what is registered then.

    Raises ConfigError: the address cannot be used.
    """
    if args.metrics is None:
        yield None
        return
    from mesh.metrics import MetricsEndpoint

    host, port = args.metrics
    with MetricsEndpoint(host, port) as endpoint:
        yield endpoint


def _address(text: str) -> tuple[str, int]:
    parsed = _ADDRESS.fullmatch(text)
    if parsed is None or int(parsed["port"]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no address; write 127.0.0.1:9464, or a port")
    return (parsed["host"] or "127.0.0.1").strip("[]"), int(parsed["port"])
