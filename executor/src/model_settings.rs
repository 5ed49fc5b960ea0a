//! A model's settings as they are stored.

use runproof_protocol::model::{ModelSettings, Privacy, StateSelection};

/// Reads both columns.
pub(crate) fn parse(selection: &str, privacy: &str) -> eyre::Result<ModelSettings> {
    let selection = match selection {
        "tasks" => StateSelection::Tasks,
        "all" => StateSelection::All,
        _ => return Err(eyre::eyre!("`{selection}` is no selection of states")),
    };
    let privacy = match privacy {
        "published" => Privacy::Published,
        "committed" => Privacy::Committed,
        _ => return Err(eyre::eyre!("`{privacy}` is no privacy of inputs")),
    };
    Ok(ModelSettings { selection, privacy })
}

pub(crate) fn show_selection(selection: StateSelection) -> &'static str {
    match selection {
        StateSelection::Tasks => "tasks",
        StateSelection::All => "all",
    }
}

pub(crate) fn show_privacy(privacy: Privacy) -> &'static str {
    match privacy {
        Privacy::Published => "published",
        Privacy::Committed => "committed",
    }
}
