"""Servers and certificates for the tests of code locations."""
