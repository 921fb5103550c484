"""`outdial trunks check`: a trunk walked step by step, and in words what is wrong with it."""
