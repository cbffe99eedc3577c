"""Views: what the tower sees of an image."""
