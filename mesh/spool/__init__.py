"""Records that are on disk when `put` returns, and are delivered when the far end is back; see `mesh.spool.sync`."""
