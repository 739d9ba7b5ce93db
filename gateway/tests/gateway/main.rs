// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gateway on real sockets, with development evidence, a scripted chain and an authority of the tests' own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, unreachable_pub)]

mod admin;
mod agent;
mod agent_answers;
mod claims;
mod committee;
mod contracts;
mod database;
mod domains;
mod fleet;
mod front;
mod guest_agent;
mod ingress;
mod instance;
mod limits;
mod own_names;
mod provenance;
mod registration;
mod release;
mod renewal;
mod revocation;
mod rows;
mod scripted;
mod served;
mod statements;
mod store;
mod termination;
mod world;
