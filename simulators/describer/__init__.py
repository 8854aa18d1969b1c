"""A user who writes sentences by rule, from the attributes of the two images."""
