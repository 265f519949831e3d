"""smtprelay beside its peers: ``make benchmark``."""
