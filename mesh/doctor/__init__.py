"""`mesh doctor`: what stands between this host and its servers.

`examine` observes, and is the only part that touches the machine; `findings` says what that means, and is pure.
"""
