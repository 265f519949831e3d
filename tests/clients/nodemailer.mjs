// Nodemailer.
import nodemailer from "nodemailer";

const env = process.env;
const transport = nodemailer.createTransport({
  host: env.SMTP_HOST,
  port: Number(env.SMTP_PORT),
  ...(env.SMTP_USER && { auth: { user: env.SMTP_USER, pass: env.SMTP_PASSWORD } }),
  ...(env.SMTP_STARTTLS && { requireTLS: true }),
});
await transport.sendMail({
  from: { name: env.MAIL_FROM_NAME, address: env.MAIL_FROM },
  to: env.MAIL_TO_NAME ? { name: env.MAIL_TO_NAME, address: env.MAIL_TO } : env.MAIL_TO,
  cc: env.MAIL_CC,
  bcc: env.MAIL_BCC,
  subject: env.MAIL_SUBJECT,
  headers: env.MAIL_HEADERS.split("\n").filter(Boolean).map((header) => {
    const [key, ...value] = header.split(": ");
    return { key, value: value.join(": ") };
  }),
  text: env.MAIL_TEXT,
  html: env.MAIL_HTML,
  attachments: [
    ...(env.MAIL_ATTACHMENT ? [{ path: env.MAIL_ATTACHMENT }] : []),
    ...(env.MAIL_IMAGE ? [{ path: env.MAIL_IMAGE, cid: env.MAIL_IMAGE_ID }] : []),
  ],
});
transport.close();
