"""One worker of `mesh serve --workers`; the supervisor starts it, with two descriptors.

python -m mesh.cli.worker LINE RECORD
"""

from __future__ import annotations

import io
import sys

from discovery import DiscoveryError
from mesh import MeshError
from mesh.cli.exits import Exit, UsageError, exit_code
from mesh.cli.options import begin_logs
from mesh.cli.targets import services_of
from mesh.workers.worker import Worker

__all__ = ["main"]


def main() -> int:
    """Load the application, serve when the supervisor says so, and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Into a pipe, which Python fills in large pieces otherwise: too late for whoever reads along.
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    worker = Worker(*map(int, sys.argv[1:3]))
    try:
        setup = worker.wait_for_setup()
        begin_logs(setup.log_format)
        worker.serve([service for target in setup.targets for service in services_of(target)])
    except (MeshError, DiscoveryError, UsageError) as error:
        code = exit_code(error)
        worker.fail(str(error), code)
        return code
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main())
