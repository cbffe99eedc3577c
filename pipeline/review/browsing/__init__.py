"""Browsing: a local server that shows images one by one and takes labels."""
