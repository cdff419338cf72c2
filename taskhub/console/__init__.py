"""The console: the pages with which people look at the hub, and steer it. It calls the services that the API calls."""
