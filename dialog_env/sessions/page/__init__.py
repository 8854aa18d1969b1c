"""The page on which people talk to an agent: Starlette, templates, one style sheet, one script."""
