\set SHOW_CONTEXT never
-- By what replies and returned mails are judged: rules that are shipped, and those that people add.
select kind, count(*) > 2 as several, bool_and(is_shipped and is_enabled and note <> '') as shipped from marketing_automation.bounce_rule group by kind order by kind;
create function shop.judge(text text) returns text language sql as $$
    select b.kind from marketing_automation_internal.parse_bounce(convert_to(format(E'From: MAILER-DAEMON@mx.example\nSubject: Undelivered Mail\nMIME-Version: 1.0\n'
        'Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n'
        'Final-Recipient: rfc822; ada@shop.example\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; %s\n\n--x--\n', text), 'UTF8')) b
$$;

-- A word that only one's own recipients' servers say, then one that means the contrary, then one less.
select shop.judge('550 Der Mieter ist ausgezogen');
insert into marketing_automation.bounce_rule (kind, pattern, meaning, note) values ('reply', 'mieter % ausgezogen', 'dead', 'house.example');
select shop.judge('550 Der Mieter ist ausgezogen');
insert into marketing_automation.bounce_rule (kind, pattern, meaning) values ('reply', 'hausverwaltung', 'alive');
select shop.judge('550 Der Mieter ist ausgezogen, sagt die Hausverwaltung');
select shop.judge('550 User unknown');
update marketing_automation.bounce_rule set is_enabled = false where pattern in ('user unknown', 'unknown user', 'mieter % ausgezogen') or pattern like '%user% unknown%';
select shop.judge('550 User unknown');
select shop.judge('550 Der Mieter ist ausgezogen');

-- What is no rule is refused, and what would be one is said.
insert into marketing_automation.bounce_rule (kind, pattern, meaning) values ('replies', 'gone', 'dead');
insert into marketing_automation.bounce_rule (kind, pattern, meaning) values ('reply', 'gone', 'deadly');
insert into marketing_automation.bounce_rule (kind, pattern, meaning) values ('notice', 'gone', 'dead');
insert into marketing_automation.bounce_rule (kind, pattern, meaning) values ('status', '5.1', 'dead');
insert into marketing_automation.bounce_rule (kind, pattern, meaning) values ('status', '4.1.1', 'dead');
insert into marketing_automation.bounce_rule (kind, pattern, meaning) values ('reply', '% 550 5.1.1', 'dead');
insert into marketing_automation.bounce_rule (kind, pattern, meaning) values ('reply', '', 'dead');
insert into marketing_automation.bounce_rule (kind, pattern, meaning) values ('reply', null, 'dead');
update marketing_automation.bounce_rule set meaning = 'unclear' where kind = 'reply' and pattern = 'hausverwaltung';
insert into marketing_automation.bounce_rule (kind, pattern, meaning) values ('reply', 'Hausverwaltung', 'dead'), ('reply', 'Hausverwaltung', 'alive');

-- The constraint and the library agree about every kind and meaning.
begin;
create table shop.pair (kind text, meaning text, library boolean, constrained boolean);
create table shop.word as select distinct k.kind, m.meaning from marketing_automation.bounce_rule k, marketing_automation.bounce_rule m;
alter table marketing_automation.bounce_rule disable trigger validate;
do $$
declare
    pair record;
    by_library boolean;
    by_constraint boolean;
begin
    for pair in select * from shop.word loop
        begin
            perform marketing_automation_internal.check_bounce_rule(pair.kind, case pair.kind when 'status' then '5.9.9' else 'x y z' end, pair.meaning);
            by_library := true;
        exception when invalid_parameter_value then
            by_library := false;
        end;
        begin
            insert into marketing_automation.bounce_rule (kind, pattern, meaning) values (pair.kind, 'x y z', pair.meaning);
            by_constraint := true;
            delete from marketing_automation.bounce_rule where pattern = 'x y z';
        exception when check_violation then
            by_constraint := false;
        end;
        insert into shop.pair values (pair.kind, pair.meaning, by_library, by_constraint);
    end loop;
end $$;
select count(*) filter (where library = constrained) as agree, count(*) filter (where library <> constrained) as differ, count(*) filter (where library) as allowed from shop.pair;
rollback;

-- Nobody but the extension's script ships a rule. What was changed is dumped, and takes the place of what is shipped.
insert into marketing_automation.bounce_rule (kind, pattern, meaning, is_shipped) values ('reply', 'moved house', 'dead', true);
update marketing_automation.bounce_rule set is_shipped = true where pattern in ('moved house', 'hausverwaltung');
insert into marketing_automation.bounce_rule (kind, pattern, meaning, is_enabled) values ('status', '5.2.1', 'unclear', false);
select kind, pattern, meaning, is_enabled, is_shipped from marketing_automation.bounce_rule
where pattern in ('moved house', 'hausverwaltung', '5.2.1') order by kind, pattern;
insert into marketing_automation.robot_rule (name, kind, pattern, is_shipped) values ('ours', 'user_agent', 'shopbot', true);
select name, is_shipped from marketing_automation.robot_rule where name = 'ours';
delete from marketing_automation.robot_rule where name = 'ours';
select kind, pattern, meaning, is_enabled from marketing_automation.bounce_rule where not is_shipped order by kind, pattern collate "C";

-- As after a new installation.
delete from marketing_automation.bounce_rule;
insert into marketing_automation.bounce_rule (kind, pattern, meaning, note) select kind, pattern, meaning, note from marketing_automation_internal.shipped_bounce_rules();
alter table marketing_automation.bounce_rule disable trigger validate;
update marketing_automation.bounce_rule set is_shipped = true;
alter table marketing_automation.bounce_rule enable trigger validate;
select shop.judge('550 User unknown');
drop function shop.judge;
