"""Data: labelled images as they lie, recognised, surveyed, audited, split, aligned and reconstructed."""
