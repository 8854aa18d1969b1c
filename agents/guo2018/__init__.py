"""The agents of Guo et al., *Dialog-based Interactive Image Retrieval*, NeurIPS 2018."""
