"""The users: neural captioners, the describer, attributes and relevance."""
