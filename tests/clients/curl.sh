#!/bin/sh -eu
# curl, which writes MIME by itself with --form. Header fields are raw UTF-8, and a Date or Message-ID is not its business.
set -- --silent --show-error --url "smtp://$SMTP_HOST:$SMTP_PORT" --mail-from "$MAIL_FROM"
if [ -n "$SMTP_USER" ]; then set -- "$@" --user "$SMTP_USER:$SMTP_PASSWORD"; fi
if [ -n "$SMTP_STARTTLS" ]; then set -- "$@" --ssl-reqd; fi
IFS=', '
for address in $MAIL_TO $MAIL_CC $MAIL_BCC; do set -- "$@" --mail-rcpt "$address"; done
set -- "$@" --header "From: ${MAIL_FROM_NAME:+$MAIL_FROM_NAME }<$MAIL_FROM>"
if [ -n "$MAIL_TO_NAME" ]; then set -- "$@" --header "To: $MAIL_TO_NAME <$MAIL_TO>"; else set -- "$@" --header "To: $MAIL_TO"; fi
if [ -n "$MAIL_CC" ]; then set -- "$@" --header "Cc: $MAIL_CC"; fi
set -- "$@" --header "Subject: $MAIL_SUBJECT"
IFS='
'
for header in $MAIL_HEADERS; do set -- "$@" --header "$header"; done
set -- "$@" --form "=<-;type=text/$(if [ -n "$MAIL_HTML" ]; then echo html; else echo plain; fi)"
if [ -n "$MAIL_ATTACHMENT" ]; then set -- "$@" --form "=@$MAIL_ATTACHMENT;encoder=base64"; fi
if [ -n "$MAIL_IMAGE" ]; then
    set -- "$@" --form "=@$MAIL_IMAGE;type=image/png;encoder=base64;headers=\"Content-ID: <$MAIL_IMAGE_ID>\""
fi
printf %s "${MAIL_HTML:-$MAIL_TEXT}" | curl "$@"
