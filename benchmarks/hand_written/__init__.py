"""The same answers without GraphQL, by hand with FastAPI and aiohttp: the measure of what is cheap."""
