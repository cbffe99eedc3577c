"""The road of a training run: samples, views, loop."""
