"""Acting: a call of a tool, checked, sent, and its answer made fit to be said."""
