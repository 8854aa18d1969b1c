"""The reliability campaign: thousands of hostile cases against the whole package, each drawn from a seed.

`python -m tools.reliability` runs all of it, `--small` a few cases of each part, and `--only PART --case N` one case
again, with all that is known about it. A part is one file here that gives a `Part`; `campaign.PARTS` lists them.
"""
