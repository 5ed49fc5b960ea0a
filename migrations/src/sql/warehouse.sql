-- The paper's star as views.
create schema warehouse;
grant usage on schema warehouse to runproof_reader;
