"""Model: the mixture of low-rank experts, its router and the head, as in arXiv:2404.04883."""
