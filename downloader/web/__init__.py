"""HTTP: who may ask, the routes, what they take and answer. The only package that imports Flask."""
