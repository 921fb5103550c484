"""Calls: the states a call goes through, the sessions that carry it, who may start one."""
