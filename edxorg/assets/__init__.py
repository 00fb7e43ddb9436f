"""The location's assets, one subject a module; their bodies call `lib`."""
