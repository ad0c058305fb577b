-- Tables and views for calls in PostgreSQL (12 or newer). Debezium's JDBC sink fills the tables (docs/analytics.md). Run it
-- again after an upgrade: it makes the views anew, and adds what is missing. In a database of their own:
--
--     cel2crm connectors tables postgresql | psql -1 -v ON_ERROR_STOP=1 calls
--
-- Every version of a call has its row: replays and records that come twice are harmless. The truth about a call is in the
-- view calls. Times are timestamptz, exact to the microsecond (processed_at of the tables: microseconds from 1970); what the
-- columns mean stands in docs/records.md.

create table if not exists call_results (
  call_id text not null,
  pbx text not null,
  linkedid text not null,
  version bigint not null,
  version_row_id bigint not null,
  version_rows integer not null,
  outcome_hash text not null,
  rules_hash text not null,
  direction text not null,
  answered boolean not null,
  answered_by text,
  talked_with text[] not null,
  caller text,
  called text,
  caller_e164 text,
  called_e164 text,
  client text,
  extension text,
  rang_last text,
  did text,
  trunk text,
  started_at timestamptz not null,
  answered_at timestamptz,
  ended_at timestamptz not null,
  timezone text,
  utc_offset_seconds integer not null,
  utc_offset_source text not null,
  ivr_seconds double precision,
  queue_seconds double precision,
  ringing_seconds double precision,
  talk_seconds double precision,
  result integer not null,
  result_name text not null,
  rule text not null,
  hangup_cause integer,
  dial_status text,
  hangup_source text,
  ended_by text,
  extra_usable boolean not null,
  handled_by text,
  transfers text[] not null,
  pickups text[] not null,
  linked_calls text[] not null,
  part_of text,
  abandoned boolean not null,
  complete boolean not null,
  incomplete_reason text,
  warnings text[] not null,
  why text[] not null,
  correction bigint not null,
  queue text,
  outcome text,
  origin text,
  processed_at bigint,
  record_partition integer,
  record_offset bigint,
  primary key (call_id, version, correction)
);

create table if not exists call_legs (
  call_id text not null,
  version bigint not null,
  leg integer not null,
  number text,
  channel text not null,
  started_at timestamptz not null,
  answered_at timestamptz,
  ended_at timestamptz,
  ring_seconds double precision,
  talk_seconds double precision,
  hangup_cause integer,
  outcome text not null,
  correction bigint not null,
  origin text,
  processed_at bigint,
  record_partition integer,
  record_offset bigint,
  primary key (call_id, version, correction, leg)
);

-- How each call stands with a CRM now: the last record of its delivery.
create table if not exists call_deliveries (
  call_id text not null,
  crm text not null,
  portal text not null,
  state text not null,
  reason text,
  step text not null,
  version bigint not null,
  correction bigint not null,
  outcome_hash text not null,
  call_ended_at timestamptz,
  queued_at timestamptz not null,
  updated_at timestamptz not null,
  delivered_at timestamptz,
  attempt integer not null,
  failures integer not null,
  wait_until timestamptz,
  sent_version bigint,
  sent_correction bigint not null,
  status text,
  text text,
  skip text,
  last_error text,
  wish text not null,
  primary key (crm, call_id)
);

-- What could not be processed, under the number that cel2crm dead-letters calls it by; the records themselves are not copied.
create table if not exists dead_letters (
  letter_partition integer not null,
  letter_offset bigint not null,
  source_topic text not null,
  source_partition integer not null,
  source_offset bigint not null,
  source_timestamp timestamptz,
  component text not null,
  reason text not null,
  explanation text not null,
  failed_at timestamptz not null,
  call_id text,
  portal text,
  primary key (letter_partition, letter_offset)
);

-- Until when the calls of each PBX are complete, as far as each partition of the rows' topic is concerned.
create table if not exists partitions_complete_until (
  pbx text not null,
  rows_partition integer not null,
  partitions integer not null,
  complete_until timestamptz not null,
  captured_until timestamptz not null,
  held_by text,
  results_ends text not null,
  legs_ends text not null,
  primary key (pbx, rows_partition)
);

-- Tables of an earlier version of this file.
alter table call_results add column if not exists origin text;
alter table call_results add column if not exists processed_at bigint;
alter table call_legs add column if not exists origin text;
alter table call_legs add column if not exists processed_at bigint;
alter table call_results add column if not exists record_partition integer;
alter table call_results add column if not exists record_offset bigint;
alter table call_legs add column if not exists record_partition integer;
alter table call_legs add column if not exists record_offset bigint;

create index if not exists call_results_started on call_results (started_at);
create index if not exists call_results_client on call_results (client);
create index if not exists call_results_record on call_results (record_partition, record_offset);
create index if not exists call_legs_record on call_legs (record_partition, record_offset);

-- A view whose columns change cannot be replaced.
drop view if exists missed_not_called_back, calls_by_hour, by_extension, by_trunk, by_queue, legs, calls,
  complete_until;

-- The truth about each call: its highest version, and of that the highest correction.
create or replace view calls as
select
  call_id, pbx, linkedid, version, version_row_id, version_rows, outcome_hash, rules_hash, direction, answered,
  answered_by, talked_with, caller, called, caller_e164, called_e164, client, extension, rang_last, did, trunk,
  started_at, answered_at, ended_at, timezone, utc_offset_seconds, utc_offset_source, ivr_seconds,
  queue_seconds, ringing_seconds, talk_seconds, result, result_name, rule, hangup_cause, dial_status,
  hangup_source, ended_by, extra_usable, handled_by, transfers, pickups, linked_calls, part_of, abandoned,
  complete, incomplete_reason, warnings, why, correction, queue,
  coalesce(outcome, case
    when answered then 'answered'
    when result in (0, 200, 408, 480) then 'missed'
    when result in (486, 603) then 'busy'
    else 'failed'
  end) as outcome,
  origin,
  timestamptz 'epoch' + processed_at * interval '1 microsecond' as processed_at
from (
  select *, row_number() over (partition by call_id order by version desc, correction desc) as place from call_results
) as ordered
where place = 1;

-- The legs of those versions.
create or replace view legs as
select
  l.call_id, l.version, l.leg, l.number, l.channel, l.started_at, l.answered_at, l.ended_at, l.ring_seconds,
  l.talk_seconds, l.hangup_cause, l.outcome, l.correction, l.origin, l.processed_at
from call_legs as l
join calls as c on c.call_id = l.call_id and c.version = l.version and c.correction = l.correction;

-- Clients whose calls no person answered, and with whom nobody talked since: who must be called back.
create or replace view missed_not_called_back as
with contact as (
  select client, max(started_at) as last from calls where answered and not abandoned and client is not null group by client
), missed as (
  select c.client, c.started_at, c.pbx from calls as c
  left join contact on contact.client = c.client
  where c.direction = 'incoming' and not c.answered and not c.abandoned and c.client is not null
    and (contact.last is null or c.started_at >= contact.last)
), waiting as (
  select client, count(*) as missed, min(started_at) as first_missed_at, max(started_at) as last_missed_at
  from missed group by client
)
select
  client,
  missed,
  first_missed_at,
  last_missed_at,
  extract(epoch from now() - first_missed_at) as waiting_seconds,
  (
    select count(*) from calls as t
    where t.client = waiting.client and t.direction = 'outgoing' and not t.answered and not t.abandoned
      and t.started_at >= waiting.first_missed_at
  ) as tries
from waiting;

-- Calls by the hour of the PBX's own clock. The seconds are averages over what was answered.
create or replace view calls_by_hour as
select
  date_trunc('hour', started_at at time zone 'UTC' + make_interval(secs => utc_offset_seconds)) as hour,
  pbx,
  direction,
  count(*) as calls,
  count(*) filter (where outcome = 'answered') as answered,
  count(*) filter (where outcome = 'missed') as missed,
  count(*) filter (where outcome = 'busy') as busy,
  count(*) filter (where outcome = 'failed') as failed,
  avg(talk_seconds) filter (where answered) as talk_seconds,
  avg(ringing_seconds) filter (where answered) as ringing_seconds
from calls where not abandoned
group by 1, 2, 3;

-- By day of the PBX's own clock and the inside party: who talked last, else who called, else who rang last.
create or replace view by_extension as
select
  (started_at at time zone 'UTC' + make_interval(secs => utc_offset_seconds))::date as day,
  pbx,
  extension,
  direction,
  count(*) as calls,
  count(*) filter (where outcome = 'answered') as answered,
  count(*) filter (where outcome = 'missed') as missed,
  count(*) filter (where outcome = 'busy') as busy,
  count(*) filter (where outcome = 'failed') as failed,
  avg(talk_seconds) filter (where answered) as talk_seconds,
  avg(ringing_seconds) filter (where answered) as ringing_seconds
from calls where not abandoned and extension is not null
group by 1, 2, 3, 4;

-- By day and trunk.
create or replace view by_trunk as
select
  (started_at at time zone 'UTC' + make_interval(secs => utc_offset_seconds))::date as day,
  pbx,
  trunk,
  direction,
  count(*) as calls,
  count(*) filter (where outcome = 'answered') as answered,
  count(*) filter (where outcome = 'missed') as missed,
  count(*) filter (where outcome = 'busy') as busy,
  count(*) filter (where outcome = 'failed') as failed,
  avg(talk_seconds) filter (where answered) as talk_seconds,
  avg(ringing_seconds) filter (where answered) as ringing_seconds
from calls where not abandoned and trunk is not null
group by 1, 2, 3, 4;

-- By day and queue: how long callers waited there, and to how many extensions a call was offered.
create or replace view by_queue as
with offered as (
  select call_id, count(distinct number) as agents from legs
  where outcome <> 'calling' and ring_seconds is not null group by call_id
), queued as (
  select c.*, coalesce(offered.agents, 0) as agents from calls as c
  left join offered on offered.call_id = c.call_id
  where c.queue is not null and not c.abandoned
)
select
  (started_at at time zone 'UTC' + make_interval(secs => utc_offset_seconds))::date as day,
  pbx,
  queue,
  count(*) as calls,
  count(*) filter (where outcome = 'answered') as answered,
  count(*) filter (where outcome = 'missed') as missed,
  count(*) filter (where outcome = 'busy') as busy,
  count(*) filter (where outcome = 'failed') as failed,
  avg(talk_seconds) filter (where answered) as talk_seconds,
  avg(ringing_seconds) filter (where answered) as ringing_seconds,
  avg(queue_seconds) as queue_seconds,
  avg(queue_seconds) filter (where not answered) as queue_seconds_not_answered,
  avg(agents) as agents_offered
from queued
group by 1, 2, 3;

-- Deliveries of calls, with their times; records of 0.1.0 about a portal itself are left out.
create or replace view deliveries as
select
  call_id, crm, portal, state, reason, step, version, correction, call_ended_at,
  case when queued_at > timestamptz 'epoch' then queued_at end as queued_at,
  updated_at, delivered_at, attempt, failures, wait_until, sent_version, sent_correction, status, text, skip, last_error,
  wish
from call_deliveries where state not in ('serving', 'disabled');

-- Until when each PBX's calls are complete here: every call that began before is in calls, with its legs in legs, or among the
-- dead letters; later versions may still come. A nightly job waits until complete_until has passed the end of its day.
-- Null: not known, for some partition was never told of (partitions_told), or this database still lacks records that a time
-- speaks of (partitions_behind). results_complete_until does without the legs.
create or replace view complete_until as
with result_ends as (
  select p.pbx, p.rows_partition, bool_and(
    e.next::bigint <= coalesce((select max(r.record_offset) + 1 from call_results as r where r.record_partition = e.place - 1), 0)
  ) as reached
  from partitions_complete_until as p,
    jsonb_array_elements_text(p.results_ends::jsonb) with ordinality as e (next, place)
  group by p.pbx, p.rows_partition
), leg_ends as (
  select p.pbx, p.rows_partition, bool_and(
    e.next::bigint <= coalesce((select max(l.record_offset) + 1 from call_legs as l where l.record_partition = e.place - 1), 0)
  ) as reached
  from partitions_complete_until as p,
    jsonb_array_elements_text(p.legs_ends::jsonb) with ordinality as e (next, place)
  group by p.pbx, p.rows_partition
)
select
  p.pbx,
  case when count(*) = max(p.partitions) and bool_and(r.reached) and bool_and(l.reached) then min(p.complete_until) end as complete_until,
  case when count(*) = max(p.partitions) and bool_and(r.reached)then min(p.complete_until) end as results_complete_until,
  min(p.captured_until) as captured_until,
  max(p.partitions) as partitions,
  count(*) as partitions_told,
  count(*) filter (where not (r.reached and l.reached)) as partitions_behind
from partitions_complete_until as p
join result_ends as r on r.pbx = p.pbx and r.rows_partition = p.rows_partition
join leg_ends as l on l.pbx = p.pbx and l.rows_partition = p.rows_partition
group by p.pbx;
