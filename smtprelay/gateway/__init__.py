"""All that aiosmtpd touches: sessions, log-ins, listeners. What is accepted goes to the pipeline."""
