"""The shell: owns the sockets, performs what the core decided, and never blocks; the drivers wait."""
