"""Server processes that may crash: a supervisor keeps so many of them serving, each a full peer of its own.

    policy, messages, events, actions, suspects, supervisor, gate    pure: what is decided, on either side
    shell, child, output                                             the supervising process and what it performs
    worker, recorder                                                 the supervised one
    line                                                             what both hold an end of

The supervisor has no ZeroMQ socket and carries no call: clients see its workers, and fail over between them.
"""
