-- FreePBX's table of channel events, column by column, as its CDR module creates it. Nothing is dropped:
-- running this on a database that has the table changes nothing.
create database if not exists asteriskcdrdb default charset utf8mb4;
create table if not exists asteriskcdrdb.cel (
  id int(11) not null auto_increment,
  eventtype varchar(30) not null,
  eventtime datetime not null,
  cid_name varchar(80) not null,
  cid_num varchar(80) not null,
  cid_ani varchar(80) not null,
  cid_rdnis varchar(80) not null,
  cid_dnid varchar(80) not null,
  exten varchar(80) not null,
  context varchar(80) not null,
  channame varchar(80) not null,
  appname varchar(80) not null,
  appdata varchar(255) not null,
  amaflags int(11) not null,
  accountcode varchar(20) not null,
  uniqueid varchar(32) not null,
  linkedid varchar(32) not null,
  peer varchar(80) not null,
  userdeftype varchar(255) not null,
  extra varchar(512) not null,
  userfield varchar(255) not null,
  primary key (id),
  key uniqueid_index (uniqueid),
  key linkedid_index (linkedid),
  key context_index (context)
);
