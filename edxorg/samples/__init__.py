"""Sample inputs: everybody and everything in them is made up."""
