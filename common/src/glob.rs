//! Patterns over object keys: which recipe, which rule, is a file's.
//!
//! `*` stands for any characters but `/`, `?` for one of them, `**` for any characters, and `**/` for any folders or none.
//! Everything else stands for itself. The most specific pattern wins: the one with the most characters that stand for
//! themselves; among those with as many, the one with the most `?`, then with the fewest `**`, then with the fewest `*`.

use std::cmp::Reverse;
use std::fmt;

/// The longest pattern, in characters: a quarter of S3's longest key, and a bound on what comparing two costs.
const MAX_CHARACTERS: usize = 256;

/// A pattern that a key may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    tokens: Vec<Token>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// It has no characters.
    #[error("the pattern is empty: `**` matches every key")]
    Empty,
    /// It has too many.
    #[error("the pattern has {0} characters, more than {MAX_CHARACTERS}")]
    TooLong(usize),
    /// No key begins like this.
    #[error("the pattern begins with `/`, which no key does: leave it out")]
    LeadingSlash,
}

/// Orders patterns: the greater one is the more specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    literals: usize,
    single: usize,
    any: Reverse<usize>,
    within: Reverse<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// This character.
    Literal(char),
    /// One character that is not `/`.
    Single,
    /// Any characters but `/`.
    Within,
    /// Any characters.
    Any,
    /// The next two tokens, or nothing.
    Optional,
}

impl Glob {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        let length = text.chars().count();
        match length {
            0 => return Err(GlobError::Empty),
            _ if length > MAX_CHARACTERS => return Err(GlobError::TooLong(length)),
            _ if text.starts_with('/') => return Err(GlobError::LeadingSlash),
            _ => {}
        }
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let at_folder = matches!(tokens.last(), None | Some(Token::Literal('/')));
            let length = if rest.starts_with("**/") && at_folder {
                tokens.extend([Token::Optional, Token::Any, Token::Literal('/')]);
                3
            } else if rest.starts_with("**") {
                tokens.push(Token::Any);
                2
            } else {
                tokens.push(match first {
                    '*' => Token::Within,
                    '?' => Token::Single,
                    literal => Token::Literal(literal),
                });
                first.len_utf8()
            };
            rest = &rest[length..];
        }
        Ok(Self { text: text.to_owned(), tokens })
    }

    /// Whether the pattern matches this key.
    pub fn matches(&self, key: &str) -> bool {
        let key: Vec<Token> = key.chars().map(Token::Literal).collect();
        overlap(&self.tokens, &key)
    }

    /// How specific it is.
    pub fn specificity(&self) -> Specificity {
        let count = |wanted: fn(&Token) -> bool| self.tokens.iter().filter(|token| wanted(token)).count();
        let optional = count(|token| matches!(token, Token::Optional));
        Specificity {
            // The slash of `**/` may not be there.
            literals: count(|token| matches!(token, Token::Literal(_))) - optional,
            single: count(|token| matches!(token, Token::Single)),
            any: Reverse(count(|token| matches!(token, Token::Any))),
            within: Reverse(count(|token| matches!(token, Token::Within))),
        }
    }

    /// Whether there is a key that both match, and neither is the more specific.
    pub fn rivals(&self, other: &Self) -> bool {
        self.specificity() == other.specificity() && overlap(&self.tokens, &other.tokens)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether some text matches both: each rest of the one against each rest of the other, from their ends on.
fn overlap(ours: &[Token], theirs: &[Token]) -> bool {
    let columns = theirs.len() + 1;
    let mut table = vec![false; (ours.len() + 1) * columns];
    let at = |row: usize, column: usize| row * columns + column;
    for row in (0..=ours.len()).rev() {
        for column in (0..=theirs.len()).rev() {
            let found = match (ours.get(row), theirs.get(column)) {
                (None, None) => true,
                (Some(Token::Optional), _) => table[at(row + 1, column)] || table[at(row + 3, column)],
                (_, Some(Token::Optional)) => table[at(row, column + 1)] || table[at(row, column + 3)],
                (Some(run @ (Token::Within | Token::Any)), theirs) => {
                    table[at(row + 1, column)]
                        || theirs.is_some_and(|token| takes(*run, *token) && table[at(row, column + 1)])
                }
                (ours, Some(run @ (Token::Within | Token::Any))) => {
                    table[at(row, column + 1)]
                        || ours.is_some_and(|token| takes(*run, *token) && table[at(row + 1, column)])
                }
                (Some(ours), Some(theirs)) => meet(*ours, *theirs) && table[at(row + 1, column + 1)],
                (Some(_), None) | (None, Some(_)) => false,
            };
            table[at(row, column)] = found;
        }
    }
    table[0]
}

/// Whether a run can stand for what `token` stands for, or for some of it.
fn takes(run: Token, token: Token) -> bool {
    run == Token::Any || token != Token::Literal('/')
}

/// Whether two tokens of one character can stand for the same one.
fn meet(ours: Token, theirs: Token) -> bool {
    match (ours, theirs) {
        (Token::Single, literal) | (literal, Token::Single) => literal != Token::Literal('/'),
        (ours, theirs) => ours == theirs,
    }
}

/// Things of which each has patterns; a key's is the one with the most specific pattern.
#[derive(Debug, Clone)]
pub struct Choice<T> {
    /// The most specific first.
    entries: Vec<(Glob, T)>,
}

/// Two patterns that match the same keys, neither more specific than the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{first}` and `{second}` match the same keys and are equally specific: make one of them more specific"
)]
pub struct Rivals<T: fmt::Debug> {
    /// One pattern.
    pub first: Glob,
    /// The other.
    pub second: Glob,
    /// Whose they are.
    pub owners: (T, T),
}

impl<T: Clone + PartialEq + fmt::Debug> Choice<T> {
    /// All patterns with what they stand for; two of the same thing may well be equally specific.
    pub fn new(entries: impl IntoIterator<Item = (Glob, T)>) -> Result<Self, Box<Rivals<T>>> {
        let mut entries: Vec<(Glob, T)> = entries.into_iter().collect();
        entries.sort_by_key(|(glob, _)| Reverse(glob.specificity()));
        for (at, (first, owner)) in entries.iter().enumerate() {
            let rival =
                entries[at + 1..].iter().find(|(second, other)| other != owner && first.rivals(second));
            if let Some((second, other)) = rival {
                let owners = (owner.clone(), other.clone());
                return Err(Box::new(Rivals { first: first.clone(), second: second.clone(), owners }));
            }
        }
        Ok(Self { entries })
    }

    /// What the key's most specific pattern stands for, if any matches.
    pub fn choose(&self, key: &str) -> Option<&T> {
        self.entries.iter().find(|(glob, _)| glob.matches(key)).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::parse(text).unwrap()
    }

    #[test]
    fn patterns_match_as_people_expect() {
        for (pattern, key, expected) in [
            ("orders/*.csv", "orders/a.csv", true),
            ("orders/*.csv", "orders/2026/a.csv", false),
            ("orders/**", "orders/2026/a.csv", true),
            ("orders/**/*.csv", "orders/a.csv", true),
            ("orders/**/*.csv", "orders/2026/11/a.csv", true),
            ("orders/**/*.csv", "orders-a.csv", false),
            ("**/a.csv", "a.csv", true),
            ("**/a.csv", "x/a.csv", true),
            ("**/a.csv", "xa.csv", false),
            ("a**b", "a/x/b", true),
            ("?.csv", "ä.csv", true),
            ("?.csv", "/.csv", false),
            ("a.csv", "a.csv.gz", false),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern).matches(key), expected, "{pattern} {key}");
        }
    }

    #[test]
    fn the_most_specific_wins_and_equals_are_an_error() {
        let patterns = ["**", "orders/**", "orders/*.csv", "orders/eu-*.csv"];
        let choice = Choice::new(patterns.map(|pattern| (glob(pattern), pattern))).unwrap();
        assert_eq!(choice.choose("orders/eu-1.csv"), Some(&"orders/eu-*.csv"));
        assert_eq!(choice.choose("orders/us-1.csv"), Some(&"orders/*.csv"));
        assert_eq!(choice.choose("orders/a/b.csv"), Some(&"orders/**"));
        assert_eq!(choice.choose("x"), Some(&"**"));

        let rivals = Choice::new([(glob("a*.csv"), 1), (glob("*b.csv"), 2)]).unwrap_err();
        assert_eq!(rivals.owners, (1, 2));
        Choice::new([(glob("a*.csv"), 1), (glob("*b.csv"), 1)]).unwrap();
        Choice::new([(glob("a*.csv"), 1), (glob("b*.csv"), 2)]).unwrap();
    }

    proptest! {
        /// Two patterns that a common key shows to overlap are never said not to.
        #[test]
        fn a_common_key_is_an_overlap(first in "[ab/*?]{1,6}", second in "[ab/*?]{1,6}", key in "[ab/]{0,6}") {
            if let (Ok(first), Ok(second)) = (Glob::parse(&first), Glob::parse(&second))
                && first.matches(&key) && second.matches(&key)
            {
                prop_assert!(overlap(&first.tokens, &second.tokens));
                prop_assert!(overlap(&second.tokens, &first.tokens));
            }
        }
    }
}
