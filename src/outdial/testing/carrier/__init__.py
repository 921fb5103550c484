"""A carrier that misbehaves as it is told: docs/reference/carrier-faults.md says what comes of it.

It writes and reads SIP as text, with nothing of Outdial's own SIP in it, so that both cannot be
wrong in the same way.
"""
