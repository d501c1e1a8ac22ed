//! How a story is told: drawing words, remembering them, and filling sentence patterns.
//!
//! A pattern is plain text with slots. `{he}` is the remembered word, `{He}` the same with a
//! capital letter, `{a:toy}` the word with its article. A story remembers every draw, so that
//! the end can only speak of what the beginning named.

use std::collections::HashMap;

use rand::Rng;
use rand_pcg::Pcg64;

use crate::lexicon::{self as lex, Pronouns};

/// One story being told: the generator, what has been named, and the sentences so far.
pub struct Telling<'r> {
    rng: &'r mut Pcg64,
    words: HashMap<&'static str, String>,
    sentences: Vec<String>,
}

impl<'r> Telling<'r> {
    /// Starts a story with a cast: a hero, a friend, a grown-up and a pet.
    ///
    /// Hero and friend have different names. The words `hero he him his`, `friend fhe fhim fhis`,
    /// `adult ahe ahim ahis`, `pet animal voice food phe phim phis` and `trait habit` are set.
    pub fn new(rng: &'r mut Pcg64) -> Self {
        let mut telling = Self { rng, words: HashMap::new(), sentences: Vec::new() };
        let (hero, pronouns) = *telling.pick(lex::CHILDREN);
        telling.cast(["hero", "he", "him", "his"], hero, pronouns);
        let (friend, pronouns) = loop {
            let other = *telling.pick(lex::CHILDREN);
            if other.0 != hero {
                break other;
            }
        };
        telling.cast(["friend", "fhe", "fhim", "fhis"], friend, pronouns);
        let (adult, pronouns) = *telling.pick(lex::GROWN_UPS);
        telling.cast(["adult", "ahe", "ahim", "ahis"], adult, pronouns);
        let (pet, pronouns) = *telling.pick(lex::PET_NAMES);
        telling.cast(["pet", "phe", "phim", "phis"], pet, pronouns);
        let (animal, voice, food) = *telling.pick(lex::PETS);
        telling.set("animal", animal).set("voice", voice).set("food", food);
        let (character, habit) = *telling.pick(lex::TRAITS);
        telling.set("trait", character).set("habit", habit);
        telling
    }

    /// Draws one entry of a list, all equally likely.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// Draws a whole number from 0 to `bound - 1`.
    ///
    /// Multiplies and shifts on its own, so that the corpus does not depend on how a version of
    /// the `rand` crate maps bits to ranges.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.rng.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Is true `percent` times in a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Remembers a word under a name.
    pub fn set(&mut self, name: &'static str, word: impl Into<String>) -> &mut Self {
        self.words.insert(name, word.into());
        self
    }

    /// Draws a word from a list and remembers it under a name.
    pub fn draw(&mut self, name: &'static str, list: &[&str]) -> &mut Self {
        let word = *self.pick(list);
        self.set(name, word)
    }

    /// The word remembered under a name.
    pub fn word(&self, name: &str) -> &str {
        self.words.get(name).unwrap_or_else(|| panic!("no word is remembered as `{name}`"))
    }

    /// Tells one of the patterns, chosen at random, as the next piece of text.
    pub fn say(&mut self, patterns: &[&str]) -> &mut Self {
        let pattern = *self.pick(patterns);
        let sentence = self.fill(pattern);
        self.sentences.push(sentence);
        self
    }

    /// Tells one of the patterns `percent` times in a hundred, else nothing.
    pub fn maybe(&mut self, percent: usize, patterns: &[&str]) -> &mut Self {
        if self.chance(percent) {
            self.say(patterns);
        }
        self
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.sentences.join(" ")
    }

    fn cast(&mut self, names: [&'static str; 4], who: &str, pronouns: Pronouns) {
        let [name, subject, object, possessive] = names;
        self.set(name, who).set(subject, pronouns.0).set(object, pronouns.1);
        self.set(possessive, pronouns.2);
    }

    fn fill(&self, pattern: &str) -> String {
        let mut text = String::with_capacity(pattern.len() + 32);
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once('{') {
            let (slot, tail) = after.split_once('}').expect("every slot of a pattern is closed");
            text.push_str(before);
            text.push_str(&self.slot(slot));
            rest = tail;
        }
        text.push_str(rest);
        text
    }

    fn slot(&self, slot: &str) -> String {
        if let Some(name) = slot.strip_prefix("a:") {
            return with_article(self.word(name));
        }
        if slot.starts_with(|first: char| first.is_ascii_uppercase()) {
            return capitalized(self.word(&slot.to_ascii_lowercase()));
        }
        self.word(slot).to_owned()
    }
}

fn with_article(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {word}")
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}
