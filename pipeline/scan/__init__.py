"""The road of a scan: source, plan, fetch, prepare, score, verdict, sink; `road.py` joins them, `flow.py` drives it."""
