"""Browsing: a local web server for viewing and labelling images of a verdict table."""
