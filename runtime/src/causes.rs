// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An error with its causes in one line.

use std::error::Error;

/// `error: cause: cause of that …`. What a text says already is not said again: many errors include their cause.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        next = error.source();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    enum Failure {
        #[error("it failed")]
        Silent(#[source] io::Error),
        #[error("root.der: {0}")]
        Telling(#[source] io::Error),
        #[error(transparent)]
        Deeper(Box<Failure>),
    }

    #[test]
    fn every_cause_is_told_once() {
        let cause = || io::Error::other("no such file");
        assert_eq!(causes(&Failure::Silent(cause())), "it failed: no such file");
        assert_eq!(causes(&Failure::Telling(cause())), "root.der: no such file");
        assert_eq!(causes(&Failure::Deeper(Box::new(Failure::Silent(cause())))), "it failed: no such file");
        assert_eq!(causes(&cause()), "no such file");
    }
}
