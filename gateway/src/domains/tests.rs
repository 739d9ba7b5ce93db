// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::*;

#[test]
fn pause_doubles_up_to_an_hour() {
    assert_eq!(pause_after(1), Duration::from_secs(1));
    assert_eq!(pause_after(5), Duration::from_secs(16));
    assert_eq!(pause_after(13), LONGEST_PAUSE);
    assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
}
