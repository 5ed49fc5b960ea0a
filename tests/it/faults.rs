//! The fault campaign in its short form: each line at least once.

use std::path::{Path, PathBuf};

use runproof_faults::{Campaign, Times};

use crate::harness;

#[test]
fn every_fault_of_the_campaign_is_survived() {
    harness::run(async {
        let campaign = Campaign {
            seed: 1,
            lines: Vec::new(),
            times: Times::Short,
            binary: PathBuf::from(env!("CARGO_BIN_EXE_runproof")),
            folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults"),
        };
        let table = campaign.run().await.expect("the campaign runs");
        assert!(table.holds(), "{table}");
    });
}
