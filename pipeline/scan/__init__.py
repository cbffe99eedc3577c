"""The scan: source, plan, fetch, prepare, score, verdict, sink; `flow.py` runs it, `execution.py` executes a wave."""
