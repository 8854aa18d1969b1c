"""The evaluation protocol, its metrics and their intervals, and logs of dialogs."""
