"""Reading of sources: plans them as units, and yields each unit's images with their bytes or their fault."""
