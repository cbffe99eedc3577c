"""Storage: files by URL, of this machine, of object stores and of web servers, and what their failures mean."""
