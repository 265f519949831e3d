#!/bin/sh -eu
# bsd-mailx, Debian's mail(1), which starts sendmail. Without -a it declares the charset of the locale.
set -- -s "$MAIL_SUBJECT"
if [ -n "$MAIL_FROM_NAME" ]; then set -- "$@" -a "From: $MAIL_FROM_NAME <$MAIL_FROM>"; else set -- "$@" -r "$MAIL_FROM"; fi
if [ -n "$MAIL_HTML" ]; then set -- "$@" -a "Content-Type: text/html; charset=UTF-8"; fi
if [ -n "$MAIL_CC" ]; then set -- "$@" -c "$MAIL_CC"; fi
if [ -n "$MAIL_BCC" ]; then set -- "$@" -b "$MAIL_BCC"; fi
if [ -n "$MAIL_TO_NAME" ]; then MAIL_TO="$MAIL_TO_NAME <$MAIL_TO>"; fi
printf 'set sendmail=%s\n' "$(command -v sendmail)" >"$HOME/.mailrc"
printf %s "${MAIL_HTML:-$MAIL_TEXT}" | bsd-mailx "$@" -- "$MAIL_TO"
