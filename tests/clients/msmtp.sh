#!/bin/sh -eu
# msmtp in sendmail's place: it takes a whole mail, and its configuration says where to.
configuration=$(mktemp)
trap 'rm -f "$configuration"' EXIT
cat >"$configuration" <<END
account default
host $SMTP_HOST
port $SMTP_PORT
from $MAIL_FROM
END
if [ -n "$SMTP_USER" ]; then
    printf 'auth plain\nuser %s\npassword "%s"\n' "$SMTP_USER" "$SMTP_PASSWORD" >>"$configuration"
fi
if [ -n "$SMTP_STARTTLS" ]; then
    printf 'tls on\ntls_trust_file %s\n' "${SSL_CERT_FILE:-system}" >>"$configuration"
fi
msmtp --file="$configuration" -t <"$MAIL_FILE"
