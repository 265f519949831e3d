<?php
// PHP's own mail(). Host, port and log-in are none of its settings: sendmail_path in php.ini names the program.
$from = getenv('MAIL_FROM_NAME') ? '=?UTF-8?B?' . base64_encode(getenv('MAIL_FROM_NAME')) . '?= ' : '';
$headers = ['From' => "$from<" . getenv('MAIL_FROM') . '>', 'MIME-Version' => '1.0'];
$to = getenv('MAIL_TO_NAME') ? '=?UTF-8?B?' . base64_encode(getenv('MAIL_TO_NAME')) . '?= <' . getenv('MAIL_TO') . '>' : getenv('MAIL_TO');
if (getenv('MAIL_CC')) {
    $headers['Cc'] = getenv('MAIL_CC');
}
if (getenv('MAIL_BCC')) {
    $headers['Bcc'] = getenv('MAIL_BCC');
}
foreach (array_filter(explode("\n", getenv('MAIL_HEADERS'))) as $header) {
    [$name, $value] = explode(': ', $header, 2);
    $headers[$name][] = $value; // raw UTF-8 too; an array is a field for each
}
$body = getenv('MAIL_HTML') ?: getenv('MAIL_TEXT');
$type = getenv('MAIL_HTML') ? 'text/html; charset=UTF-8' : 'text/plain; charset=UTF-8';
$file = getenv('MAIL_ATTACHMENT') ?: getenv('MAIL_IMAGE');
if ($file) {
    $boundary = md5(uniqid());
    $name = basename($file);
    $disposition = getenv('MAIL_IMAGE') ? 'inline' : 'attachment';
    $id = getenv('MAIL_IMAGE') ? 'Content-ID: <' . getenv('MAIL_IMAGE_ID') . ">\r\n" : '';
    $body = "--$boundary\r\nContent-Type: $type\r\nContent-Transfer-Encoding: 8bit\r\n\r\n$body\r\n"
        . "--$boundary\r\nContent-Type: " . mime_content_type($file) . "; name=\"$name\"\r\n"
        . "Content-Disposition: $disposition; filename=\"$name\"\r\n{$id}Content-Transfer-Encoding: base64\r\n\r\n"
        . chunk_split(base64_encode(file_get_contents($file))) . "--$boundary--\r\n";
    $type = (getenv('MAIL_IMAGE') ? 'multipart/related' : 'multipart/mixed') . "; boundary=\"$boundary\"";
}
$headers['Content-Type'] = $type;
// The subject is raw UTF-8, as many scripts leave it.
exit(mail($to, getenv('MAIL_SUBJECT'), $body, $headers, '-f' . getenv('MAIL_FROM')) ? 0 : 1);
