"""Users who fill in forms instead of speaking: attributes, relative attributes, relevance."""
