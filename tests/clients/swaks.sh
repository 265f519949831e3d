#!/bin/sh -eu
# swaks.
set -- --server "$SMTP_HOST" --port "$SMTP_PORT" --from "$MAIL_FROM"
set -- "$@" --to "$MAIL_TO${MAIL_CC:+,$MAIL_CC}${MAIL_BCC:+,$MAIL_BCC}"
if [ -n "$SMTP_USER" ]; then set -- "$@" --auth-user "$SMTP_USER" --auth-password "$SMTP_PASSWORD" --auth-hide-password; fi
if [ -n "$SMTP_STARTTLS" ]; then set -- "$@" --tls; fi
if [ -n "$MAIL_CC" ]; then set -- "$@" --h-To "$MAIL_TO" --add-header "Cc: $MAIL_CC"; fi
if [ -n "$MAIL_FROM_NAME" ]; then set -- "$@" --h-From "$MAIL_FROM_NAME <$MAIL_FROM>"; fi
if [ -n "$MAIL_TO_NAME" ]; then set -- "$@" --h-To "$MAIL_TO_NAME <$MAIL_TO>"; fi
if [ -n "$MAIL_HTML" ]; then set -- "$@" --add-header "MIME-Version: 1.0" --add-header "Content-Type: text/html; charset=UTF-8"; fi
if [ -n "$MAIL_ATTACHMENT" ]; then
    set -- "$@" --attach-type application/pdf --attach-name "${MAIL_ATTACHMENT##*/}" --attach "@$MAIL_ATTACHMENT"
fi
printf '%s\n' "$MAIL_HEADERS" >"$HOME/headers"
while read -r header; do
    if [ -n "$header" ]; then set -- "$@" --add-header "$header"; fi
done <"$HOME/headers"
exec swaks "$@" --h-Subject "$MAIL_SUBJECT" --body "${MAIL_HTML:-$MAIL_TEXT}"
