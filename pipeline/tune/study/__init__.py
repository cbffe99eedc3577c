"""The study: recipes compared with every source left out once, on cached trunk tokens."""
