"""What is done to an image once its bytes are there: prepare, score, verdict."""
