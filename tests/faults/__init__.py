"""What the page about carriers' faults promises, held against a whole server."""
