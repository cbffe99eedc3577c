"""The verdict table: what is in it, who may write it, and how it is written, joined and asked."""
