"""Storage: files by URL on local disks, object stores and web servers, with retries and fault classification."""
