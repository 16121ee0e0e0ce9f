"""The evidence: what data/results/plan.md says, measured block by block, and the verdict that the rows give."""
