//! The whole system on real parts: one binary, one stack, and for each test a world of its own.

// Tests await whole journeys in one future.
#![recursion_limit = "512"]

mod audit;
mod batches;
mod children;
mod client_tasks;
mod commands;
mod companion;
mod crash;
mod dense;
mod deployment;
mod endings;
mod engines;
mod faults;
mod finality;
mod fold;
mod harness;
mod hints;
mod interface;
mod itrex;
mod job;
mod kafka;
mod keys;
mod masked;
mod nodes;
mod operations;
mod page;
mod paper_run;
mod participants;
mod private;
mod publication;
mod quarantine;
mod rate_limit;
mod redriven_map_run;
mod relay;
mod renewal;
mod reorganisation;
mod revocation;
mod roots;
mod schema;
mod schemas;
mod sources;
mod spread;
mod step_functions;
mod versions;
mod waiting;
