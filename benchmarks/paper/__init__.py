"""`dialog-retrieval benchmark paper`: the two claims of Guo et al. (2018), tested with intervals.

`arms` says who is compared, `run` trains and evaluates them, `report` makes tables, verdicts and figures.
"""
