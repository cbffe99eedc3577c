"""The numbers: a frozen CLIP tower with a mixture of low-rank experts; tensors in, logits out."""
