// javax.mail.
import java.util.Date;
import java.util.Properties;
import javax.mail.Message.RecipientType;
import javax.mail.PasswordAuthentication;
import javax.mail.Session;
import javax.mail.Transport;
import javax.mail.internet.InternetAddress;
import javax.mail.internet.MimeBodyPart;
import javax.mail.internet.MimeMessage;
import javax.mail.internet.MimeMultipart;

public class JavaMail {
    public static void main(String[] arguments) throws Exception {
        MimeMessage message = new MimeMessage(session());
        message.setFrom(new InternetAddress(env("MAIL_FROM"), env("MAIL_FROM_NAME"), "UTF-8"));
        message.setRecipients(RecipientType.TO, InternetAddress.parse(env("MAIL_TO")));
        if (!env("MAIL_TO_NAME").isEmpty()) {
            message.setRecipient(
                RecipientType.TO, new InternetAddress(env("MAIL_TO"), env("MAIL_TO_NAME"), "UTF-8"));
        }
        message.setRecipients(RecipientType.CC, InternetAddress.parse(env("MAIL_CC")));
        message.setRecipients(RecipientType.BCC, InternetAddress.parse(env("MAIL_BCC")));
        message.setSubject(env("MAIL_SUBJECT"), "UTF-8");
        message.setSentDate(new Date());
        setContent(message);
        Transport.send(message);
    }

    private static Session session() {
        Properties properties = new Properties();
        properties.put("mail.smtp.host", env("SMTP_HOST"));
        properties.put("mail.smtp.port", env("SMTP_PORT"));
        if (!env("SMTP_STARTTLS").isEmpty()) {
            properties.put("mail.smtp.starttls.enable", "true");
            properties.put("mail.smtp.starttls.required", "true");
        }
        if (env("SMTP_USER").isEmpty()) {
            return Session.getInstance(properties);
        }
        properties.put("mail.smtp.auth", "true");
        return Session.getInstance(properties, new javax.mail.Authenticator() {
            @Override
            protected PasswordAuthentication getPasswordAuthentication() {
                return new PasswordAuthentication(env("SMTP_USER"), env("SMTP_PASSWORD"));
            }
        });
    }

    private static void setContent(MimeMessage message) throws Exception {
        if (env("MAIL_ATTACHMENT").isEmpty() && env("MAIL_IMAGE").isEmpty()) {
            if (env("MAIL_HTML").isEmpty()) {
                message.setText(env("MAIL_TEXT"), "UTF-8");
            } else {
                message.setContent(env("MAIL_HTML"), "text/html; charset=UTF-8");
            }
            return;
        }
        MimeBodyPart text = new MimeBodyPart();
        MimeBodyPart file = new MimeBodyPart();
        MimeMultipart parts;
        if (env("MAIL_IMAGE").isEmpty()) {
            text.setText(env("MAIL_TEXT"), "UTF-8");
            file.attachFile(env("MAIL_ATTACHMENT"));
            parts = new MimeMultipart(text, file);
        } else {
            text.setContent(env("MAIL_HTML"), "text/html; charset=UTF-8");
            file.attachFile(env("MAIL_IMAGE"));
            file.setContentID("<" + env("MAIL_IMAGE_ID") + ">");
            file.setDisposition(MimeBodyPart.INLINE);
            parts = new MimeMultipart("related", text, file);
        }
        message.setContent(parts);
    }

    private static String env(String name) {
        return System.getenv().getOrDefault(name, "");
    }
}
