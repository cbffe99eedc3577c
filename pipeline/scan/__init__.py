"""The road of a scan: source, plan, fetch, prepare, score, verdict, sink; one file a step."""
