"""TLS for SIP and HTTP: certificates read, checked against names, and watched on disk."""
