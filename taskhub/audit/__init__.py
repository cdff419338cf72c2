"""The audit log: who changed what of the configuration and the accounts, when, and by which door."""
