"""What all tests of this tree share."""

pytest_plugins = ["ol_orchestrate.testing.servers"]
