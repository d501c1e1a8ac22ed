//! "Did you mean": the closest allowed name within edit distance 2.

/// The allowed name closest to `found`, if one lies within edit distance 2 and is not a
/// complete rewrite of a short name. Of equally close ones the one that begins most alike.
pub fn closest<'a>(found: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    allowed
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(found, name), name))
        .filter(|(distance, name)| *distance <= 2 && *distance < name.chars().count())
        .min_by_key(|(distance, name)| {
            let alike = name.chars().zip(found.chars()).take_while(|(a, b)| a == b).count();
            (*distance, std::cmp::Reverse(alike))
        })
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name_and_a_stranger_finds_none() {
        let allowed = ["new_tokens", "prompt_tokens", "batch"];
        assert_eq!(closest("new_token", allowed), Some("new_tokens"));
        assert_eq!(closest("bacth", allowed), Some("batch"));
        assert_eq!(closest("threads", allowed), None);
        assert_eq!(closest("xy", ["ab"]), None);
        assert_eq!(closest("q8_1", ["q4_1", "q8_0"]), Some("q8_0"));
    }
}
