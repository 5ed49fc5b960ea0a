//! The fault campaign in its short form: each line at least once.

use std::{
    collections::BTreeSet,
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use runproof_faults::{Campaign, Times};
use runproof_stack::Geth;

use crate::harness;

/// It mounts a disk.
const FOR_ROOT: u8 = 17;
/// They drive a geth, which `make faults` installs.
const WITH_GETH: [u8; 3] = [36, 37, 38];

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
        let skipped: BTreeSet<u8> = table.skipped().map(|(line, _)| line).collect();
        for (line, why) in table.skipped() {
            // Past what the test's output is caught by, so that it is seen where all goes well, too.
            let _ = writeln!(std::io::stderr(), "line {line} of the fault campaign was not done: {why}");
        }
        assert_eq!(skipped, cannot_be_done_here(), "{table}");
        let idle: Vec<u8> = table.rows.iter().filter(|row| row.tried == 0).map(|row| row.number).collect();
        assert!(idle.iter().all(|line| skipped.contains(line)), "never done: {idle:?}\n{table}");
    });
}

fn cannot_be_done_here() -> BTreeSet<u8> {
    // Whose process this is.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let for_root = (!is_root).then_some(FOR_ROOT);
    let with_geth = WITH_GETH.into_iter().filter(|_| !Geth::is_installed());
    for_root.into_iter().chain(with_geth).collect()
}
