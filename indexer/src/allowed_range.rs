//! How many blocks a provider allows a request, as its error says in words of its own.

/// The number of blocks that the text of an error allows, if it names one.
///
/// Providers either propose a range that would be answered (`[0x10, 0x1f]`, `range 16-31`), or name their limit (`limited to a 10,000 range`,
/// `max block range: 2000`, `up to a 2K block range`). A limit on results (`more than 10000 results`) is none on blocks.
pub(crate) fn allowed_range(text: &str) -> Option<u64> {
    let text = text.split(" (code ").next().unwrap_or_default().to_lowercase().replace(',', "");
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    proposed(&words).or_else(|| limit(&words)).filter(|blocks| *blocks > 0)
}

/// `range 16 31` or two hexadecimal numbers in a row.
fn proposed(words: &[&str]) -> Option<u64> {
    let hexadecimal = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let between = |(first, last): (u64, u64)| last.checked_sub(first)?.checked_add(1);
    let pairs = words.windows(2).filter_map(|pair| Some((hexadecimal(pair[0])?, hexadecimal(pair[1])?)));
    let named = words.windows(3).filter(|three| three[0] == "range");
    pairs.chain(named.filter_map(|three| Some((three[1].parse().ok()?, three[2].parse().ok()?)))).find_map(between)
}

/// A number that is said of blocks or of a range; the last, since what was asked for is told before what is allowed.
fn limit(words: &[&str]) -> Option<u64> {
    let numbers = words.iter().enumerate().filter_map(|(place, word)| Some((place, number(word)?)));
    let of_blocks = |place: &usize| {
        let after = words[place + 1..].iter().take(2);
        let before = words[..*place].iter().rev().take(4);
        let of = |word: &&str| matches!(*word, "block" | "blocks" | "range" | "ranges");
        let of_results = words[place + 1..].first().is_some_and(|word| matches!(*word, "results" | "logs" | "events"));
        !of_results && after.chain(before).any(of)
    };
    numbers.rev().find(|(place, _)| of_blocks(place)).map(|(_, number)| number)
}

fn number(word: &str) -> Option<u64> {
    match word.strip_suffix('k') {
        Some(thousands) => thousands.parse::<u64>().ok()?.checked_mul(1_000),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_read_from_what_providers_say() {
        let said = [
            ("query returned more than 10000 results. Try with this block range [0x64, 0xc7].", Some(100)),
            ("query exceeds max results 20000, retry with the range 17000000-17000499", Some(500)),
            ("eth_getLogs is limited to a 10,000 range", Some(10_000)),
            ("exceed maximum block range: 5000", Some(5_000)),
            ("block range too large, range: 3500, max: 3000", Some(3_000)),
            ("query exceeds max block range 100000", Some(100_000)),
            (
                "You can make eth_getLogs requests with up to a 2K block range and no limit on the response size",
                Some(2_000),
            ),
            ("Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range.", Some(10)),
            ("eth_getLogs is limited to 1024 block range", Some(1_024)),
            ("query returned more than 10000 results (code -32005)", None),
            ("block range too wide (code -32000)", None),
            ("Try with this block range [0xc7, 0x64].", None),
        ];
        for (text, blocks) in said {
            assert_eq!(allowed_range(text), blocks, "{text}");
        }
    }
}
