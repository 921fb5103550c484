"""Millions of hostile SIP messages against a real server, and what must hold all the while."""
