// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every service takes from outside: clock, entropy, sockets, configuration, telemetry and shutdown.
