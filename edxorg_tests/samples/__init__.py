"""The sample inputs: what their files say, read by plain readers of their own, and what the pipeline delivers."""
