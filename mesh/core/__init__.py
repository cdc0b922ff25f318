"""The pure core: it decides, and never touches a clock, a socket, a thread or a random source of its own."""
