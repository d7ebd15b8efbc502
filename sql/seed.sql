-- What the extension ships as rows. Run by every install and every update: what people have changed or have, stays.

-- The two default record types; their names are reserved. Not "on conflict": triggers that forbid to write them run before that.
insert into marketing_automation.model (name, relation, key, key_type, party, email, recipient_name, language, time_zone)
select s.* from (values
    ('party', 'marketing_automation.party'::regclass, 'self.id', 'bigint'::regtype, 'self.id', 'self.email', 'self.name', 'self.language',
        'self.time_zone'),
    ('sale', 'marketing_automation.sale', 'self.id', 'bigint', 'self.party_id',
     '(select p.email from marketing_automation.party p where p.id = self.party_id)',
     '(select p.name from marketing_automation.party p where p.id = self.party_id)',
     '(select p.language from marketing_automation.party p where p.id = self.party_id)',
     '(select p.time_zone from marketing_automation.party p where p.id = self.party_id)')) as s (name)
where not exists (select from marketing_automation.model m where m.name = s.name);

-- A rule that was changed is no shipped one any more, and stays; one as it was shipped is replaced by its new form.
insert into marketing_automation.robot_rule (name, kind, pattern, links, within, is_enabled, note, is_shipped) values
    ('head', 'method', 'HEAD', null, null, true,
        'Asks where a link leads without following it (RFC 9110, section 9.3.2): link checkers and scanners', true),
    ('prefetch', 'method', 'PREFETCH', null, null, true,
        'Loaded in advance, before anybody has asked for it: Sec-Purpose (Fetch Standard), Purpose, X-Purpose or X-Moz says so', true),
    ('apple_mail_privacy', 'user_agent', '^mozilla/5\.0$', null, null, true,
     'Apple Mail Privacy Protection loads images through its own servers, read or not, with this bare name: support.apple.com/guide/iphone/iphf084865c7', true),
    ('crawler', 'user_agent',
        'bot\M|bot/|crawl|spider|slurp|facebookexternalhit|whatsapp/|skypeuripreview|microsoftpreview|bingpreview|bitlybot|'
        'headlesschrome|phantomjs', null, null, true,
     'Crawlers and link previews, by the names that they give themselves', true),
    ('gmail_prefetch', 'user_agent', 'chrome/42\..*edge/12\.246', null, null, true,
     'Gmail loads images in advance under the name of a browser of 2015, and again through its proxy when the mail is opened', true),
    ('slack_image_proxy', 'user_agent', 'slack-imgproxy', null, null, true,
     'Slack loads the images of a mail that is shown in a channel: api.slack.com/robots', true),
    ('scanner', 'user_agent',
        'proofpoint|mimecast|barracuda|symantec|messagelabs|trendmicro|fireeye|forcepoint|cloudmark|virustotal|urlscan|safelinks|'
        '\(compatible; ms-office', null, null, true,
     'Security products that open mails and follow their links before the recipient does, and Office, which looks at a link before '
     'it opens the browser; Outlook itself has its own name before ms-office', true),
    ('program', 'user_agent',
        '^(curl|wget|python|go-http-client|java/|okhttp|apache-httpclient|libwww|axios|node-fetch|ruby|php|guzzle|aiohttp|postman|'
        'powershell)', null, null, true,
     'HTTP libraries: nobody reads mails with them', true),
    ('all_links', 'burst', null, 3, '5 seconds', true,
        'Nobody follows three different links of a mail in five seconds; scanners follow all', true),
    ('hidden_link', 'hidden_link', null, null, '10 seconds', true,
        'No person sees the link that the setting hidden_link adds; what follows it follows all', true),
    ('at_once', 'speed', null, null, '2 seconds', false,
        'Scanners at the recipient''s gate look at a mail when it arrives. Off: some people are fast, and clocks differ', true),
    ('gmail_image_proxy', 'user_agent', 'googleimageproxy', null, null, false,
     'Off: Gmail''s proxy loads an image when the mail is opened, and tells the sender that: support.google.com/mail/answer/145919', true),
    ('yahoo_image_proxy', 'user_agent', 'yahoomailproxy', null, null, false, 'Off: as Gmail''s', true)
on conflict do nothing;

insert into marketing_automation.message_class (name, honors_unsubscribe, bulk_headers, capped, priority, note, is_shipped) values
    ('marketing', true, true, true, 0, 'Mails that people may want or not: newsletters, offers, reminders', true),
    ('transactional', false, false, false, 100, 'Mails that somebody has caused and waits for: receipts, passwords, confirmations', true),
    ('internal', false, false, false, 50, 'Mails to your own people', true)
on conflict do nothing;
