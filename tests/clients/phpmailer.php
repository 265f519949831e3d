<?php
// PHPMailer.
use PHPMailer\PHPMailer\PHPMailer;

require '/usr/share/php/libphp-phpmailer/autoload.php';

$mail = new PHPMailer(true);
$mail->isSMTP();
$mail->Host = getenv('SMTP_HOST');
$mail->Port = (int) getenv('SMTP_PORT');
if (getenv('SMTP_USER')) {
    $mail->SMTPAuth = true;
    $mail->Username = getenv('SMTP_USER');
    $mail->Password = getenv('SMTP_PASSWORD');
}
if (getenv('SMTP_STARTTLS')) {
    $mail->SMTPSecure = PHPMailer::ENCRYPTION_STARTTLS;
}

$mail->CharSet = 'UTF-8';
$mail->setFrom(getenv('MAIL_FROM'), getenv('MAIL_FROM_NAME'));
foreach (explode(', ', getenv('MAIL_TO')) as $address) {
    $mail->addAddress($address, getenv('MAIL_TO_NAME'));
}
foreach (array_filter(explode(', ', getenv('MAIL_CC'))) as $address) {
    $mail->addCC($address);
}
foreach (array_filter(explode(', ', getenv('MAIL_BCC'))) as $address) {
    $mail->addBCC($address);
}
$mail->Subject = getenv('MAIL_SUBJECT');
$mail->isHTML((bool) getenv('MAIL_HTML'));
$mail->Body = getenv('MAIL_HTML') ?: getenv('MAIL_TEXT');
if (getenv('MAIL_ATTACHMENT')) {
    $mail->addAttachment(getenv('MAIL_ATTACHMENT'));
}
if (getenv('MAIL_IMAGE')) {
    $mail->addEmbeddedImage(getenv('MAIL_IMAGE'), getenv('MAIL_IMAGE_ID'));
}
$mail->send();
