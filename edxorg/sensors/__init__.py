"""The sensors, which start jobs; one subject a module."""
