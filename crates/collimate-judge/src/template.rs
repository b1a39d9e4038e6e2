//! Judge prompts as texts with named places.

use collimate_core::{Message, Prompt, Role};
use serde::{Deserialize, Serialize};

use crate::error::JudgeError;
use crate::options::PromptStyle;
use crate::places::{Piece, TemplateKind, pieces};
use crate::prompts;

/// A judge prompt with places for question and answers.
///
/// A place is a name in braces, as listed in [`TemplateKind`]. Other braces are text. A name in
/// braces that is not a place of this template is refused, because it is probably a mistake.
/// Inserted texts are not searched for places, so a question or an answer may contain `{answer}`.
///
/// In a file, a template is an object with the fields of [`Template::new`].
///
/// # Examples
/// ```
/// use collimate_judge::{TemplateKind, Template};
/// let error = Template::new("mine", TemplateKind::Answer, None, "Rate this: {answer}").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "template mine: the place {question} is missing: the judge would not see this text",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(!try_from, deny_unknown_fields))]
#[serde(try_from = "Fields")]
pub struct Template {
    /// Name of the template, for messages.
    name: String,
    /// Questions and answers that the template shows to the judge.
    shows: TemplateKind,
    /// Text of the system message. Null leaves out the system message.
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    /// Text of the user's message, with places in braces.
    user: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: String,
    shows: TemplateKind,
    #[serde(default)]
    system: Option<String>,
    user: String,
}

impl TryFrom<Fields> for Template {
    type Error = JudgeError;

    fn try_from(fields: Fields) -> Result<Self, JudgeError> {
        Self::new(fields.name, fields.shows, fields.system, fields.user)
    }
}

impl Template {
    /// Makes a custom template from an optional system message and a user message.
    ///
    /// # Errors
    /// [`JudgeError::Template`] for a place that is missing in both texts, or for an unknown place.
    pub fn new(
        name: impl Into<String>,
        shows: TemplateKind,
        system: Option<String>,
        user: impl Into<String>,
    ) -> Result<Self, JudgeError> {
        let template = Self {
            name: name.into(),
            shows,
            system,
            user: user.into(),
        };
        template.check()?;
        Ok(template)
    }

    /// Returns the additive five-point prompt of Self-Rewarding Language Models
    /// ([arXiv:2401.10020](https://arxiv.org/abs/2401.10020), figure 2).
    pub fn additive() -> Self {
        Self::published("additive", TemplateKind::Answer, None, prompts::ADDITIVE)
    }

    /// Returns MT-bench's prompt for one answer
    /// ([arXiv:2306.05685](https://arxiv.org/abs/2306.05685), figure 6).
    pub fn mt_bench() -> Self {
        let system = Some(prompts::SINGLE_SYSTEM);
        Self::published("mt_bench", TemplateKind::Answer, system, prompts::SINGLE)
    }

    /// Returns MT-bench's prompt for two answers of one model.
    pub fn mt_bench_two_turns() -> Self {
        let system = Some(prompts::SINGLE_TURNS_SYSTEM);
        let user = prompts::SINGLE_TURNS;
        Self::published("mt_bench_two_turns", TemplateKind::TwoTurns, system, user)
    }

    /// Returns MT-bench's prompt for two answers
    /// ([arXiv:2306.05685](https://arxiv.org/abs/2306.05685), figure 5).
    pub fn mt_bench_pair() -> Self {
        let system = Some(prompts::PAIR_SYSTEM);
        Self::published("mt_bench_pair", TemplateKind::Pair, system, prompts::PAIR)
    }

    /// Returns MT-bench's prompt for two answers of each of two models.
    pub fn mt_bench_pair_two_turns() -> Self {
        let system = Some(prompts::PAIR_TURNS_SYSTEM);
        let (shows, user) = (TemplateKind::PairTwoTurns, prompts::PAIR_TURNS);
        Self::published("mt_bench_pair_two_turns", shows, system, user)
    }

    fn published(name: &str, shows: TemplateKind, system: Option<&str>, user: &str) -> Self {
        Self {
            name: name.to_owned(),
            shows,
            system: system.map(str::to_owned),
            user: user.to_owned(),
        }
    }

    /// Returns the name of the template, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the questions and answers that the template shows.
    pub fn kind(&self) -> TemplateKind {
        self.shows
    }

    /// Returns the text of the system message.
    pub fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    /// Returns the text of the user message.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the prompt of the judge. `values` fill the places in the order of
    /// [`TemplateKind::places`].
    pub(crate) fn render(&self, values: &[&str], style: PromptStyle) -> Prompt {
        let fill = |text: &str| {
            let mut filled = String::new();
            for piece in pieces(text, self.shows.places()) {
                match piece {
                    Piece::Text(text) => filled.push_str(text),
                    Piece::Place(place) => filled.push_str(values.get(place).unwrap_or(&"")),
                    Piece::Unknown(_) => {}
                }
            }
            filled
        };
        let (system, user) = (self.system.as_deref().map(fill), fill(&self.user));
        match (style, system) {
            (PromptStyle::Text, None) => Prompt::Text(user),
            (PromptStyle::Text, Some(system)) => {
                Prompt::Text(format!("{}\n\n{user}", system.trim_end()))
            }
            (PromptStyle::Chat, system) => {
                let message = |role, content| Message::new(role, content);
                let system = system.map(|content| message(Role::System, content));
                let user = message(Role::User, user);
                Prompt::Chat(system.into_iter().chain([user]).collect())
            }
        }
    }

    fn check(&self) -> Result<(), JudgeError> {
        let refuse = |message: String| {
            let name = self.name.clone();
            Err(JudgeError::Template { name, message })
        };
        let places = self.shows.places();
        let mut seen = vec![false; places.len()];
        for text in self.system.iter().chain([&self.user]) {
            for piece in pieces(text, places) {
                match piece {
                    Piece::Text(_) => {}
                    Piece::Place(place) => seen[place] = true,
                    Piece::Unknown(name) => {
                        let known = places.join("}, {");
                        return refuse(format!(
                            "there is no place {{{name}}}; the places are {{{known}}}"
                        ));
                    }
                }
            }
        }
        match seen.iter().position(|seen| !seen) {
            None => Ok(()),
            Some(place) => refuse(format!(
                "the place {{{}}} is missing: the judge would not see this text",
                places[place]
            )),
        }
    }
}
