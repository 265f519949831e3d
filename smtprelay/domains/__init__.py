"""The platform's domain rules: SPF, MX, DKIM and DMARC of a sending domain, looked up and judged."""
