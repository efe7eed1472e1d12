"""The door for programs: HTTP under `/api`, derived from what is registered (OpenAPI 3.1 at `/api/openapi.json`).

Needs the extra `serve`: `pip install pulumi-jvp[serve]`.
"""
