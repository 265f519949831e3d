#!/bin/sh -eu
# msmtp in sendmail's place: it takes a whole mail, and its configuration says where to.
umask 077
cat >"$HOME/.msmtprc" <<END
account default
host $SMTP_HOST
port $SMTP_PORT
from $MAIL_FROM
END
if [ -n "$SMTP_USER" ]; then
    printf 'auth plain\nuser %s\npassword "%s"\n' "$SMTP_USER" "$SMTP_PASSWORD" >>"$HOME/.msmtprc"
fi
if [ -n "$SMTP_STARTTLS" ]; then
    printf 'tls on\ntls_trust_file %s\n' "${SSL_CERT_FILE:-system}" >>"$HOME/.msmtprc"
fi
exec msmtp -t <"$MAIL_FILE"
