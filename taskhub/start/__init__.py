"""The start of a hub: `manage.py up`, its supervisor and fork server, and the command lines of everything that runs."""
