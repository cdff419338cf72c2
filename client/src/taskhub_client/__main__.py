"""`python -m taskhub_client`: the command `taskhub`."""

from taskhub_client.command.main import main

main(prog_name="taskhub")
