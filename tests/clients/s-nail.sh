#!/bin/sh -eu
# s-nail by SMTP: user and password stand in its URL.
in_url() { printf %s "$1" | sed 's/%/%25/g; s/@/%40/g; s/:/%3A/g; s/ /%20/g'; }
login=
if [ -n "$SMTP_USER" ]; then
    login="$(in_url "$SMTP_USER"):$(in_url "$SMTP_PASSWORD")@"
else
    set -- -S smtp-auth=none
fi
set -- "$@" -S v15-compat -S "mta=smtp://$login$SMTP_HOST:$SMTP_PORT" -S "from=${MAIL_FROM_NAME:+$MAIL_FROM_NAME }<$MAIL_FROM>" -S fullnames -S DEAD=/dev/null
if [ -n "$SMTP_STARTTLS" ]; then set -- "$@" -S smtp-use-starttls -S tls-verify=strict; fi
set -- "$@" -s "$MAIL_SUBJECT"
if [ -n "$MAIL_HTML" ]; then set -- "$@" -M text/html; fi
if [ -n "$MAIL_ATTACHMENT" ]; then set -- "$@" -a "$MAIL_ATTACHMENT"; fi
if [ -n "$MAIL_IMAGE" ]; then
    # A Content-ID is given by a hook that speaks the protocol of ~^.
    set -- "$@" -a "$MAIL_IMAGE" -S on-compose-splice=identify -X "define identify {
        read version
        echo '~^attachment attribute-set-at 1 content-id <$MAIL_IMAGE_ID>'
        read status
    }"
fi
if [ -n "$MAIL_TO_NAME" ]; then set -- "$@" -. "$MAIL_TO_NAME <$MAIL_TO>"; else
    IFS=', '
    for address in $MAIL_CC; do set -- "$@" -c "$address"; done
    for address in $MAIL_BCC; do set -- "$@" -b "$address"; done
    set -- "$@" -. $MAIL_TO
fi
printf %s "${MAIL_HTML:-$MAIL_TEXT}" | s-nail -:/ "$@"
