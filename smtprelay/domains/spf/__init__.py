"""SPF (RFC 7208): check_host, the rule, and the record to publish."""
