"""How the admin writes times: an operator compares them with the log's."""

DATETIME_FORMAT = "Y-m-d H:i:s"
