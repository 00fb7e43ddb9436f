"""Resources that know where things are, and make their clients at first use."""
