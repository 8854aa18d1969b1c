"""Agents against each other: runs, results, statistics, tables and plots."""

if __name__ == "benchmarks":  # found as a folder of the checkout
    from dialog_env.checkout import one_name

    one_name(__name__)
