"""Server processes that may crash: a supervisor keeps so many of them serving, each a full peer of its own.

    supervisor, with policy, events, actions, process, suspects, wording    pure: what is decided on one side
    gate                                                                    pure: and on the other
    messages, line                                                          what both sides say, and how
    shell, child                                                            the supervising process
    worker, recorder                                                        the supervised one

The supervisor has no ZeroMQ socket and carries no call: clients see its workers, and fail over between them.
"""
