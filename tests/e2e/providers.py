"""Providers as they post: each signs as its own does, and tells of a mail that the sink has taken."""

import base64
import hashlib
import hmac
import json
import subprocess
import time

import requests

TOPIC = "arn:aws:sns:eu-west-1:123456789012:bounces"
PASSWORD = "postmark:0123456789abcdef0123456789"
TOKEN = "0123456789abcdef0123456789abcdef"
GONE = "550 5.1.1 user unknown"


def _openssl(*arguments, given=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=given, check=True, capture_output=True).stdout


class Provider:
    """One of them: `options` are the proxy's, `event` makes an event of a kind about a mail, `post` signs and posts some."""

    name = None
    # What is posted at once.
    batches = False

    def __init__(self, directory):
        self.directory = directory

    def secret(self, text):
        path = self.directory / f"{self.name}.secret"
        path.write_text(text)
        path.chmod(0o600)
        return path

    def url(self, proxy):
        return f"{proxy.base}/bounce/{self.name}"

    def post(self, proxy, *events):
        """Posts events, in as many requests as it takes; gives the answers."""
        if self.batches:
            return [self.send(proxy, json.dumps(events))]
        return [self.send(proxy, json.dumps(event)) for event in events]


class Ses(Provider):
    name = "ses"

    def __init__(self, directory):
        super().__init__(directory)
        self.key, self.certificate = directory / "sns.key", directory / "sns.pem"
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", "/CN=sns.amazonaws.com", "-keyout", self.key, "-out", self.certificate
        )

    @property
    def options(self):
        return "--ses-topics", TOPIC, "--ses-certificate", self.certificate

    def event(self, kind, mail, **more):
        address = mail.recipients[0]
        # As SES does, which writes a Message-ID of its own and tells the header that it got.
        headers = [{"name": name, "value": str(value)} for name, value in mail.message.items()]
        told = {"source": mail.sender, "messageId": "0102018d-ses", "headers": headers, "destination": [address]}
        details = {
            "hard": {
                "eventType": "Bounce",
                "bounce": {
                    "bounceType": "Permanent",
                    "bounceSubType": "General",
                    "bouncedRecipients": [{"emailAddress": address, "action": "failed", "status": "5.1.1", "diagnosticCode": f"smtp; {GONE}"}],
                },
            },
            "complaint": {"eventType": "Complaint", "complaint": {"complainedRecipients": [{"emailAddress": address}], "complaintFeedbackType": "abuse"}},
            "delayed": {"eventType": "DeliveryDelay", "deliveryDelay": {"delayedRecipients": [{"emailAddress": address, "status": "4.4.1"}]}},
            "other": {"eventType": "Open", "open": {}},
        }
        return {"mail": told, **details[kind], **more}

    def envelope(self, kind="Notification", key=None, version="2", **members):
        envelope = {
            "Type": kind,
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Timestamp": "2026-01-27T14:59:39.000Z",
            "SignatureVersion": version,
            **members,
        }
        signed = ("Message", "MessageId", "SubscribeURL", "Subject", "Timestamp", "Token", "TopicArn", "Type")
        text = "".join(f"{name}\n{envelope[name]}\n" for name in signed if name in envelope)
        digest = {"1": "-sha1", "2": "-sha256"}[version]
        envelope["Signature"] = base64.b64encode(_openssl("dgst", digest, "-sign", key or self.key, given=text.encode())).decode()
        # Nobody looks there.
        envelope["SigningCertURL"] = "https://127.0.0.1:1/SimpleNotificationService-0a1b2c.pem"
        return json.dumps(envelope)

    def send(self, proxy, text, **members):
        return requests.post(self.url(proxy), self.envelope(Message=text, **members), headers={"Content-Type": "text/plain; charset=UTF-8"})

    def forged(self, proxy, text):
        stranger = self.directory / "stranger.key"
        _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", stranger)
        yield self.send(proxy, text, key=stranger)
        yield self.send(proxy, text, version="1")
        yield self.send(proxy, text, TopicArn=TOPIC.replace("bounces", "strangers"))
        yield requests.post(self.url(proxy), text)


class SendGrid(Provider):
    name = "sendgrid"
    batches = True

    def __init__(self, directory):
        super().__init__(directory)
        self.key = directory / "sendgrid.key"
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.key)

    @property
    def options(self):
        public = _openssl("pkey", "-in", self.key, "-pubout", "-outform", "der")
        return "--sendgrid-key-file", self.secret(base64.b64encode(public).decode())

    def event(self, kind, mail, **more):
        told = json.loads(mail.message["X-SMTPAPI"])["unique_args"]
        members = {
            "hard": {"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": GONE},
            "complaint": {"event": "spamreport"},
            "unsubscribe": {"event": "group_unsubscribe", "asm_group_id": 10},
            "delayed": {"event": "deferred", "response": "451 try again later", "attempt": "5"},
            "other": {"event": "open"},
        }
        return {"email": mail.recipients[0], "timestamp": 1513299569, "sg_event_id": f"{kind}-{mail.recipients[0]}", **told, **members[kind], **more}

    def send(self, proxy, text, at=None, key=None, signed=None):
        at = str(int(at or time.time()))
        signature = _openssl("dgst", "-sha256", "-sign", key or self.key, given=(at + (signed or text)).encode())
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": at,
        }
        return requests.post(self.url(proxy), text, headers=headers)

    def forged(self, proxy, text):
        stranger = self.directory / "stranger.key"
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", stranger)
        yield self.send(proxy, text, key=stranger)
        yield self.send(proxy, text, at=time.time() - 2 * 86400)
        yield self.send(proxy, text, signed="[]")
        yield requests.post(self.url(proxy), text)


class Mailgun(Provider):
    name = "mailgun"
    key = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
    tokens = 0

    @property
    def options(self):
        return "--mailgun-key-file", self.secret(self.key + "\n")

    def event(self, kind, mail, **more):
        members = {
            "hard": {
                "event": "failed",
                "severity": "permanent",
                "reason": "bounce",
                "delivery-status": {"code": 550, "message": "5.1.1 user unknown", "attempt-no": 1},
            },
            "complaint": {"event": "complained"},
            "unsubscribe": {"event": "unsubscribed"},
            "delayed": {"event": "failed", "severity": "temporary", "reason": "generic", "delivery-status": {"code": 451, "message": "later"}},
            "other": {"event": "opened"},
        }
        headers = {"to": mail.recipients[0], "message-id": mail.message["Message-ID"].strip("<>"), "subject": "x"}
        return {"id": f"{kind}-{mail.recipients[0]}", "timestamp": 1521233195.375624, "recipient": mail.recipients[0],
                "message": {"headers": headers}, **members[kind], **more}

    def body(self, text, at=None, key=None, token=None):
        self.tokens += 1
        at, token = str(int(at or time.time())), token or f"token-{self.tokens}"
        signature = hmac.new((key or self.key).encode(), (at + token).encode(), hashlib.sha256).hexdigest()
        return f'{{"signature": {json.dumps({"timestamp": at, "token": token, "signature": signature})}, "event-data": {text}}}'

    def send(self, proxy, text, **arguments):
        return requests.post(self.url(proxy), self.body(text, **arguments), headers={"Content-Type": "application/json"})

    def forged(self, proxy, text):
        yield self.send(proxy, text, key="key-of-somebody-else-00000000000")
        yield self.send(proxy, text, at=time.time() - 86400)
        yield requests.post(self.url(proxy), f'{{"event-data": {text}}}')
        at = time.time()
        assert self.send(proxy, '{"event": "opened"}', at=at, token="seen").status_code == 200
        yield self.send(proxy, text, at=at, token="seen")


class Postmark(Provider):
    name = "postmark"
    credential = PASSWORD

    @property
    def options(self):
        return "--postmark-credential-file", self.secret(self.credential)

    def event(self, kind, mail, **more):
        told = {"Metadata": {"message-id": mail.message["X-PM-Metadata-message-id"]}, "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483"}
        members = {
            "hard": {"RecordType": "Bounce", "ID": 42, "Type": "HardBounce", "Details": f"smtp;{GONE}"},
            "complaint": {"RecordType": "SpamComplaint", "ID": 43, "Type": "SpamComplaint"},
            "unsubscribe": {
                "RecordType": "SubscriptionChange",
                "SuppressSending": True,
                "SuppressionReason": "ManualSuppression",
                "Origin": "Recipient",
            },
            "delayed": {"RecordType": "Bounce", "ID": 44, "Type": "Transient", "Details": "smtp;451 later"},
            "other": {"RecordType": "Open"},
        }
        return {"Email": mail.recipients[0], "BouncedAt": "2019-11-05T16:33:54.9070259Z", **told, **members[kind], **more}

    def send(self, proxy, text, authorization=None):
        authorization = authorization or "Basic " + base64.b64encode(self.credential.encode()).decode()
        return requests.post(self.url(proxy), text, headers={"Authorization": authorization, "Content-Type": "application/json"})

    def forged(self, proxy, text):
        for wrong in ("Basic " + base64.b64encode(b"postmark:wrong").decode(), "Bearer " + self.credential, "Basic ", "x"):
            yield self.send(proxy, text, authorization=wrong)


class Brevo(Provider):
    name = "brevo"
    batches = True

    @property
    def options(self):
        return "--brevo-credential-file", self.secret(TOKEN + "\n")

    def event(self, kind, mail, **more):
        members = {
            "hard": {"event": "hard_bounce", "reason": GONE},
            "complaint": {"event": "spam"},
            "unsubscribe": {"event": "unsubscribed"},
            "delayed": {"event": "deferred", "reason": "later"},
            "other": {"event": "unique_opened"},
        }
        return {"email": mail.recipients[0], "id": 26224, "ts_epoch": 1604933653, "message-id": "<201798300811.5787683@relay.domain.com>",
                "X-Mailin-custom": mail.message["X-Mailin-custom"], **members[kind], **more}

    def send(self, proxy, text, authorization=f"Bearer {TOKEN}"):
        return requests.post(self.url(proxy), text, headers={"Authorization": authorization, "Content-Type": "application/json"})

    def forged(self, proxy, text):
        for wrong in (f"Bearer {TOKEN}0", f"Basic {TOKEN}", "Bearer", "x"):
            yield self.send(proxy, text, authorization=wrong)


ALL = [Ses, SendGrid, Mailgun, Postmark, Brevo]
