#!/usr/bin/perl
# Net::SMTP, with MIME::Lite for what is more than text.
use strict;
use warnings;
use MIME::Lite;
use Net::SMTP;

my @to  = split /, /, $ENV{MAIL_TO};
my @cc  = split /, /, $ENV{MAIL_CC};
my @bcc = split /, /, $ENV{MAIL_BCC};

# Names and subject are raw UTF-8, as many scripts leave them.
my $mail = MIME::Lite->new(
    From    => ($ENV{MAIL_FROM_NAME} ? "$ENV{MAIL_FROM_NAME} " : '') . "<$ENV{MAIL_FROM}>",
    To      => $ENV{MAIL_TO_NAME} ? "$ENV{MAIL_TO_NAME} <$ENV{MAIL_TO}>" : $ENV{MAIL_TO},
    (Cc => $ENV{MAIL_CC}) x !!@cc,
    Subject => $ENV{MAIL_SUBJECT},
    Type    => $ENV{MAIL_IMAGE} ? 'multipart/related' : 'multipart/mixed',
);
$mail->attach(
    Type => $ENV{MAIL_HTML} ? 'text/html; charset=UTF-8' : 'text/plain; charset=UTF-8',
    Data => $ENV{MAIL_HTML} || $ENV{MAIL_TEXT},
);
$mail->attach(Type => 'AUTO', Path => $ENV{MAIL_ATTACHMENT}, Disposition => 'attachment') if $ENV{MAIL_ATTACHMENT};
$mail->attach(Type => 'image/png', Path => $ENV{MAIL_IMAGE}, Id => "<$ENV{MAIL_IMAGE_ID}>") if $ENV{MAIL_IMAGE};

my $smtp = Net::SMTP->new($ENV{SMTP_HOST}, Port => $ENV{SMTP_PORT}) or die "no connection: $@\n";
if ($ENV{SMTP_STARTTLS}) { $smtp->starttls or die 'STARTTLS: ', $smtp->message, "\n" }
if ($ENV{SMTP_USER}) { $smtp->auth($ENV{SMTP_USER}, $ENV{SMTP_PASSWORD}) or die 'AUTH: ', $smtp->message, "\n" }
$smtp->mail($ENV{MAIL_FROM}) or die 'MAIL: ', $smtp->message, "\n";
$smtp->to(@to, @cc, @bcc) or die 'RCPT: ', $smtp->message, "\n";
$smtp->data($mail->as_string) or die 'DATA: ', $smtp->message, "\n";
$smtp->quit;
