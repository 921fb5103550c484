"""Is anything lost when Outdial is killed? Real servers, killed at random, judged from outside.

Nothing here uses the code that is judged: the carrier and the web server are written for this, and
the store is read with plain SQL when everything is over. `python -m chaos` says how to run it.
"""
