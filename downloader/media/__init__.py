"""Media files: checked, named, moved, removed, zipped."""
