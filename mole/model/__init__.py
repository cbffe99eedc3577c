"""Model: the mixture of low-rank experts, its router, and the head; what arXiv:2404.04883 describes."""
