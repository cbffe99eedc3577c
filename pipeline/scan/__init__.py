"""Scan: source, plan, fetch, prepare, score, verdict, sink; `flow.py` runs it, `wave.py` executes one wave."""
