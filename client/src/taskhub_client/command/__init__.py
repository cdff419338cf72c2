"""The command `taskhub`."""
