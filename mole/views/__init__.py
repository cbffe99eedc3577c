"""Views: the crops and resized images that are the tower's input."""
