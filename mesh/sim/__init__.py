"""The simulator: worlds of virtual servers and clients around the cores that ship, decided by a seed."""

from mesh.sim.faults import Bout, Faults, Spread
from mesh.sim.server import Handlers
from mesh.sim.workload import Workload
from mesh.sim.world import World

__all__ = ["Bout", "Faults", "Handlers", "Spread", "Workload", "World"]
