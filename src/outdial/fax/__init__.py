"""Faxes: received by a process of their own (T.30 over G.711, libspandsp), and made into PDF."""
