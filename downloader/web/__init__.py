"""HTTP: access control, routes, request and response models, OpenAPI. The only package that imports Flask."""
