"""The HTTP server: the chart page and the API."""
