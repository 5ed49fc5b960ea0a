//! Interfaces that people hold on to: the help, the configuration file.

use std::{path::Path, process::Command};

use crate::harness::free_port;

fn output(arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runproof"));
    command.args(arguments).envs(environment.iter().copied()).env("NO_COLOR", "1").env("COLUMNS", "100");
    let output = command.output().expect("the binary runs");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat();
    (output.status.success(), text)
}

#[test]
fn the_help_is_the_reviewed_one() {
    let (succeeded, help) = output(&["--help"], &[]);
    assert!(succeeded);
    insta::assert_snapshot!("help", help);
    let commands = ["demo", "identity", "deploy", "run", "follow", "import", "relay", "request-transition", "verify"];
    let all: String = commands.iter().map(|command| output(&[command, "--help"], &[]).1 + "\n\n").collect();
    insta::assert_snapshot!("help_of_commands", all);
}

#[test]
fn the_example_configuration_is_complete_and_parses() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("runproof.example.toml");
    let text = std::fs::read_to_string(&example).expect("the example is there");
    // With a password, `identity show` goes as far as the keystore: the file was taken.
    let (_, told) = output(&["--config", &example.to_string_lossy(), "identity", "show"], &[]);
    assert!(told.contains("keystore"), "{told}");
    let sections: toml::Table = text.parse().expect("TOML");
    for section in [
        "chain",
        "postgres",
        "kafka",
        "aws",
        "identity",
        "site",
        "publication",
        "executor",
        "verifier",
        "api",
        "operations",
        "source",
    ] {
        assert!(sections.contains_key(section), "{section} is missing in the example");
    }
}

#[test]
fn a_setting_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("runproof.toml");
    std::fs::write(&file, "[chain]\nrcp_url = \"http://127.0.0.1:1\"\n").expect("a file");
    let (succeeded, told) = output(&["--config", &file.to_string_lossy(), "migrate"], &[]);
    assert!(!succeeded && told.contains("rcp_url") && told.contains("runproof.example.toml"), "{told}");
}

#[test]
fn a_key_in_the_file_and_more_gas_than_a_transaction_may_use_are_refused_and_no_secret_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("runproof.toml");
    let told = |text: &str, environment: &[(&str, &str)]| {
        std::fs::write(&file, text).expect("a file");
        let (succeeded, told) = output(&["--config", &file.to_string_lossy(), "identity", "show"], environment);
        assert!(!succeeded, "{told}");
        told
    };
    let refused = told("[identity]\nprivate_key = \"0xc0ffee\"\n", &[]);
    assert!(refused.contains("RUNPROOF_IDENTITY__PRIVATE_KEY alone") && !refused.contains("c0ffee"), "{refused}");
    let refused = told("[executor]\nmax_gas = 16777217\n", &[]);
    assert!(refused.contains("`max_gas` of [executor] is 16777217") && refused.contains("EIP-7825"), "{refused}");
    let taken = told("[executor]\nmax_gas = 16777216\n", &[("RUNPROOF_IDENTITY__PASSWORD", "open sesame")]);
    assert!(taken.contains("there is no keystore") && !taken.contains("sesame"), "{taken}");
    let refused = told("", &[("RUNPROOF_IDENTITY__PASSWORD", "12345")]);
    assert!(refused.contains("put a number in quotation marks") && !refused.contains("12345"), "{refused}");
    let refused = told("", &[("RUNPROOF_IDENTITY__PRIVATE_KEY", "c0ffee")]);
    assert!(refused.contains("is not a key") && !refused.contains("c0ffee"), "{refused}");
}

#[test]
fn what_is_away_is_named_with_what_to_do() {
    let postgres = format!("postgres://nobody@127.0.0.1:{}/nothing", free_port());
    let (succeeded, told) = output(&["migrate"], &[("RUNPROOF_POSTGRES__URL", &postgres)]);
    assert!(!succeeded && told.contains("Postgres does not answer"), "{told}");
}
