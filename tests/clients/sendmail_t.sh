#!/bin/sh -eu
# A whole mail to sendmail, which takes the recipients from its header.
exec sendmail -t -i <"$MAIL_FILE"
