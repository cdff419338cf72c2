"""What a program tells of its work: spans of traces, and whose work a line of the log is about."""
