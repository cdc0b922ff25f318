"""What tests share: waiting for a condition, needs of a test, processes, ports."""

from tests.helpers.needs import needs_netns, needs_program, needs_root, needs_timens
from tests.helpers.ports import free_port
from tests.helpers.process import Process, spawn
from tests.helpers.wait import PATIENCE_S, async_wait_until, quickest, wait_until

__all__ = [
    "PATIENCE_S",
    "Process",
    "async_wait_until",
    "free_port",
    "needs_netns",
    "needs_program",
    "needs_root",
    "needs_timens",
    "quickest",
    "spawn",
    "wait_until",
]
