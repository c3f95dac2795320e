"""One module for each revision of the schema; never changed once released."""
