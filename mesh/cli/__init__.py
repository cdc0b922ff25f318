"""The command line: one file per command, one table of exit codes, and otherwise only public names."""
