-- Written by the executor alone.
create schema executor;
