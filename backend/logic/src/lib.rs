//! Every decision in the cluster, as pure functions. No clock, no random, no I/O, no async: `now`, ids and random
//! choices are arguments.
pub mod admission;
pub mod authz;
pub mod bootstrap_token;
pub mod controllers;
pub mod dns;
pub mod events;
pub mod facts;
pub mod fairness;
pub mod host;
pub mod login;
pub mod pod;
pub mod pod_network;
pub mod proxy;
pub mod scheduler;
