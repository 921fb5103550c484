"""Stand-ins for the parts around what is tested: they fulfil the same protocols."""
