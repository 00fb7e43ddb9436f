"""What the tests of a code location can use."""
