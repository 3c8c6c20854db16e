"""Pure functions from a pool and its context to the objects that it should consist of."""
