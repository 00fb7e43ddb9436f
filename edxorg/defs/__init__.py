"""What `dg scaffold defs` adds to the location."""
