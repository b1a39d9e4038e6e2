//! Instructions and their checks.

use serde_json::{Map, Value};

use crate::arguments::Arguments;
use crate::text;
use crate::{InstructionError, Language};

/// How a number of things in an answer compares with the number that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Fewer than the number.
    LessThan,
    /// The number or more.
    AtLeast,
}

impl Relation {
    fn holds(self, found: usize, asked: usize) -> bool {
        match self {
            Self::LessThan => found < asked,
            Self::AtLeast => found >= asked,
        }
    }
}

/// An instruction that a program can check: the 25 kinds of IFEval
/// ([arXiv:2311.07911](https://arxiv.org/abs/2311.07911), table 1). Each variant names the id of the
/// instruction in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// `keywords:existence`: every text occurs, in any case.
    Keywords(Vec<String>),
    /// `keywords:frequency`: how often a text occurs, in any case.
    KeywordFrequency {
        /// The text.
        keyword: String,
        /// How the number of its occurrences compares.
        relation: Relation,
        /// The number that was asked for.
        times: usize,
    },
    /// `keywords:forbidden_words`: none of the words occurs as a whole word, in any case.
    ForbiddenWords(Vec<String>),
    /// `keywords:letter_frequency`: how often a letter occurs, in any case.
    LetterFrequency {
        /// The letter, in lower case.
        letter: char,
        /// How the number of its occurrences compares.
        relation: Relation,
        /// The number that was asked for.
        times: usize,
    },
    /// `language:response_language`: the answer is in a language.
    ResponseLanguage(Language),
    /// `length_constraints:number_sentences`.
    Sentences(Relation, usize),
    /// `length_constraints:number_paragraphs`: exactly this number, with `***` between them.
    Paragraphs(usize),
    /// `length_constraints:number_words`.
    Words(Relation, usize),
    /// `length_constraints:nth_paragraph_first_word`: exactly this number of paragraphs, with an
    /// empty line between them, and the first word of one of them.
    ParagraphFirstWord {
        /// Number of paragraphs.
        paragraphs: usize,
        /// Paragraph with the word, from 1.
        nth: usize,
        /// The word, in lower case.
        word: String,
    },
    /// `detectable_content:number_placeholders`: at least this number of texts such as `[name]`.
    Placeholders(usize),
    /// `detectable_content:postscript`: a postscript begins with this mark.
    Postscript(String),
    /// `detectable_format:number_bullet_lists`: exactly this number of lines that begin with `*` or
    /// `-`.
    Bullets(usize),
    /// `detectable_format:constrained_response`: one of `My answer is yes.`, `My answer is no.` and
    /// `My answer is maybe.` occurs.
    ConstrainedResponse,
    /// `detectable_format:number_highlighted_sections`: at least this number of texts such as
    /// `*this*`.
    Highlights(usize),
    /// `detectable_format:multiple_sections`: at least this number of headings such as `Section 1`.
    Sections {
        /// First word of each heading.
        heading: String,
        /// The number that was asked for.
        count: usize,
    },
    /// `detectable_format:json_format`: the answer is JSON, which may stand in a code block.
    Json,
    /// `detectable_format:title`: a title such as `<<title>>` occurs.
    Title,
    /// `combination:two_responses`: two different answers with `******` between them.
    TwoResponses,
    /// `combination:repeat_prompt`: the answer begins with this text, in any case.
    RepeatPrompt(String),
    /// `startend:end_checker`: the answer ends with this text, in any case.
    EndsWith(String),
    /// `change_case:capital_word_frequency`: how many words are in capitals.
    CapitalWords(Relation, usize),
    /// `change_case:english_capital`: English, all in capitals.
    Capitals,
    /// `change_case:english_lowercase`: English, without capitals.
    Lowercase,
    /// `punctuation:no_comma`.
    NoComma,
    /// `startend:quotation`: the whole answer stands in double quotation marks.
    Quotation,
}

/// Answers of [`Instruction::ConstrainedResponse`].
const ANSWERS: [&str; 3] = [
    "My answer is yes.",
    "My answer is no.",
    "My answer is maybe.",
];

impl Instruction {
    /// Reads an instruction from its id and arguments.
    ///
    /// # Errors
    /// An unknown id, or an argument that is missing, wrong, or not one of this instruction. An
    /// argument that is `null` counts as absent.
    pub fn parse(id: &str, arguments: &Map<String, Value>) -> Result<Self, InstructionError> {
        let mut from = Arguments::new(id, arguments);
        let found = match id {
            "keywords:existence" => Self::Keywords(from.texts("keywords")?),
            "keywords:frequency" => Self::KeywordFrequency {
                keyword: from.text("keyword")?,
                relation: from.relation("relation")?,
                times: from.count("frequency")?,
            },
            "keywords:forbidden_words" => Self::ForbiddenWords(from.texts("forbidden_words")?),
            "keywords:letter_frequency" => {
                let text = from.text("letter")?.to_lowercase();
                let mut letters = text.chars();
                let (Some(letter), None) = (letters.next(), letters.next()) else {
                    return Err(InstructionError::Argument {
                        id: id.to_owned(),
                        name: "letter",
                        wanted: "a text of one letter",
                    });
                };
                Self::LetterFrequency {
                    letter,
                    relation: from.relation("let_relation")?,
                    times: from.count("let_frequency")?,
                }
            }
            "language:response_language" => {
                Self::ResponseLanguage(Language::of_code(&from.text("language")?)?)
            }
            "length_constraints:number_sentences" => {
                Self::Sentences(from.relation("relation")?, from.count("num_sentences")?)
            }
            "length_constraints:number_paragraphs" => {
                Self::Paragraphs(from.count("num_paragraphs")?)
            }
            "length_constraints:number_words" => {
                Self::Words(from.relation("relation")?, from.count("num_words")?)
            }
            "length_constraints:nth_paragraph_first_word" => {
                let paragraphs = from.count("num_paragraphs")?;
                let nth = from.count("nth_paragraph")?;
                if nth == 0 || nth > paragraphs {
                    return Err(InstructionError::Argument {
                        id: id.to_owned(),
                        name: "nth_paragraph",
                        wanted: "a number from 1 to num_paragraphs",
                    });
                }
                Self::ParagraphFirstWord {
                    paragraphs,
                    nth,
                    word: from.text("first_word")?.to_lowercase(),
                }
            }
            "detectable_content:number_placeholders" => {
                Self::Placeholders(from.count("num_placeholders")?)
            }
            "detectable_content:postscript" => Self::Postscript(from.text("postscript_marker")?),
            "detectable_format:number_bullet_lists" => Self::Bullets(from.count("num_bullets")?),
            "detectable_format:constrained_response" => Self::ConstrainedResponse,
            "detectable_format:number_highlighted_sections" => {
                Self::Highlights(from.count("num_highlights")?)
            }
            "detectable_format:multiple_sections" => Self::Sections {
                heading: from.text("section_spliter")?,
                count: from.count("num_sections")?,
            },
            "detectable_format:json_format" => Self::Json,
            "detectable_format:title" => Self::Title,
            "combination:two_responses" => Self::TwoResponses,
            "combination:repeat_prompt" => Self::RepeatPrompt(from.text("prompt_to_repeat")?),
            "startend:end_checker" => Self::EndsWith(from.text("end_phrase")?),
            "change_case:capital_word_frequency" => Self::CapitalWords(
                from.relation("capital_relation")?,
                from.count("capital_frequency")?,
            ),
            "change_case:english_capital" => Self::Capitals,
            "change_case:english_lowercase" => Self::Lowercase,
            "punctuation:no_comma" => Self::NoComma,
            "startend:quotation" => Self::Quotation,
            _ => return Err(InstructionError::Unknown(id.to_owned())),
        };
        from.finish()?;
        Ok(found)
    }

    /// Checks an answer. An answer without a visible character follows nothing.
    #[must_use]
    pub fn is_followed(&self, answer: &str) -> bool {
        if answer.trim().is_empty() {
            return false;
        }
        match self {
            Self::Keywords(keywords) => keywords
                .iter()
                .all(|word| text::occurrences(word, answer) > 0),
            Self::KeywordFrequency {
                keyword,
                relation,
                times,
            } => relation.holds(text::occurrences(keyword, answer), *times),
            Self::ForbiddenWords(words) => !words.iter().any(|word| text::has_word(word, answer)),
            Self::LetterFrequency {
                letter,
                relation,
                times,
            } => {
                let lower = answer.to_lowercase();
                relation.holds(lower.chars().filter(|c| c == letter).count(), *times)
            }
            Self::ResponseLanguage(language) => language.is_of(answer),
            Self::Sentences(relation, count) => relation.holds(text::sentences(answer), *count),
            Self::Paragraphs(count) => text::divided(answer) == Some(*count),
            Self::Words(relation, count) => relation.holds(text::words(answer), *count),
            Self::ParagraphFirstWord {
                paragraphs,
                nth,
                word,
            } => first_word(answer, *paragraphs, *nth).is_some_and(|found| found == *word),
            Self::Placeholders(count) => text::placeholders(answer) >= *count,
            Self::Postscript(mark) => text::has_postscript(mark, answer),
            Self::Bullets(count) => text::bullets(answer) == *count,
            Self::ConstrainedResponse => ANSWERS.iter().any(|known| answer.contains(known)),
            Self::Highlights(count) => text::highlights(answer) >= *count,
            Self::Sections { heading, count } => text::headings(heading, answer) >= *count,
            Self::Json => serde_json::from_str::<Value>(unfenced(answer)).is_ok(),
            Self::Title => text::has_title(answer),
            Self::TwoResponses => are_two(answer),
            Self::RepeatPrompt(prompt) => lower(answer).starts_with(&lower(prompt)),
            Self::EndsWith(end) => {
                let answer = answer.trim().trim_matches('"');
                answer.to_lowercase().ends_with(&lower(end))
            }
            Self::CapitalWords(relation, count) => {
                relation.holds(text::capital_words(answer), *count)
            }
            Self::Capitals => text::is_upper(answer) && Language::ENGLISH.may_be_of(answer),
            Self::Lowercase => text::is_lower(answer) && Language::ENGLISH.may_be_of(answer),
            Self::NoComma => !answer.contains(','),
            Self::Quotation => {
                let answer = answer.trim();
                answer.len() > 1 && answer.starts_with('"') && answer.ends_with('"')
            }
        }
    }
}

fn lower(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Returns the first word of a paragraph, in lower case, if the answer has as many paragraphs as
/// asked for.
fn first_word(answer: &str, paragraphs: usize, nth: usize) -> Option<String> {
    let parts: Vec<&str> = answer.split("\n\n").map(str::trim).collect();
    let filled = parts.iter().filter(|part| !part.is_empty()).count();
    if filled != paragraphs || nth == 0 || nth > filled {
        return None;
    }
    let word = parts[nth - 1].split_whitespace().next()?;
    let word = word.trim_start_matches('\'').trim_start_matches('"');
    let end = word.find(['.', ',', '?', '!', '\'', '"']);
    Some(word[..end.unwrap_or(word.len())].to_lowercase())
}

/// Removes the marks of a code block around a text.
fn unfenced(answer: &str) -> &str {
    let mut inner = answer.trim();
    for mark in ["```json", "```Json", "```JSON", "```"] {
        inner = inner.strip_prefix(mark).unwrap_or(inner);
    }
    inner.strip_suffix("```").unwrap_or(inner).trim()
}

fn are_two(answer: &str) -> bool {
    let parts: Vec<&str> = answer.split("******").map(str::trim).collect();
    let inner = parts.get(1..parts.len() - 1).unwrap_or_default();
    let filled: Vec<&&str> = parts.iter().filter(|part| !part.is_empty()).collect();
    inner.iter().all(|part| !part.is_empty()) && filled.len() == 2 && filled[0] != filled[1]
}
