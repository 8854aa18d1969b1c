"""Tools beside the package: no part of what is installed, run from a checkout with `python -m tools.<name>`."""
