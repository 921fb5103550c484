"""Many calls at once for a long time, over a line that loses packets, and what is left of them."""
