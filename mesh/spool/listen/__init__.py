"""What takes records from programs that know nothing of the mesh: syslog, RADIUS accounting, plain ZeroMQ.

Framing, parsing and checking are pure; `udp`, `tcp`, `radius` and `ipc` do input and output, and acknowledge nothing
that is not durable.
"""
