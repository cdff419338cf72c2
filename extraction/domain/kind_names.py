"""The names of extraction's kinds of runs, as rows of runs have them."""

EXTRACTION = "extraction"
DELIVERY = "delivery"
REMOVAL = "extraction_purge"
