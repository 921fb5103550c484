"""`outdial demo`: two calls to simulated phones through the public API, shown as they happen."""
