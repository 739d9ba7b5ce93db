// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Routes TLS to authorised apps and obtains their certificates.
