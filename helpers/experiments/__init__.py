"""Recorded runs: every number that a laptop can't recompute in a minute, with what is needed to recompute it.

One file a study: the grid of its cells, the measurement of one cell, what its code hash covers, and its tables.
`study` runs and reads them, `catalogue` lists them, `facts` is what prose may take from them, `tables` writes markdown.
"""
