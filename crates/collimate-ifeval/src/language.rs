//! Languages of answers.

use std::sync::LazyLock;

use whatlang::{Detector, Info, Lang};

use crate::InstructionError;

/// A language by its code of ISO 639-1, such as `de`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language(Lang);

/// Languages of IFEval that can be recognised.
const CODES: [(&str, Lang); 29] = [
    ("ar", Lang::Ara),
    ("bg", Lang::Bul),
    ("bn", Lang::Ben),
    ("de", Lang::Deu),
    ("en", Lang::Eng),
    ("es", Lang::Spa),
    ("fa", Lang::Pes),
    ("fi", Lang::Fin),
    ("fr", Lang::Fra),
    ("gu", Lang::Guj),
    ("he", Lang::Heb),
    ("hi", Lang::Hin),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("kn", Lang::Kan),
    ("ko", Lang::Kor),
    ("ml", Lang::Mal),
    ("mr", Lang::Mar),
    ("ne", Lang::Nep),
    ("pa", Lang::Pan),
    ("pl", Lang::Pol),
    ("pt", Lang::Por),
    ("ru", Lang::Rus),
    ("ta", Lang::Tam),
    ("te", Lang::Tel),
    ("th", Lang::Tha),
    ("uk", Lang::Ukr),
    ("ur", Lang::Urd),
    ("vi", Lang::Vie),
];

impl Language {
    /// English.
    pub const ENGLISH: Self = Self(Lang::Eng);

    /// Finds a language by its code.
    ///
    /// # Errors
    /// Texts in this language cannot be recognised.
    pub fn of_code(code: &str) -> Result<Self, InstructionError> {
        let found = CODES.iter().find(|(known, _)| *known == code);
        found
            .map(|(_, language)| Self(*language))
            .ok_or_else(|| InstructionError::Language(code.to_owned()))
    }

    /// Returns true if a text seems to be in this language, or in none that can be recognised. The
    /// second is the rule of IFEval: a text of digits and marks is in every language.
    #[must_use]
    pub fn is_of(self, text: &str) -> bool {
        detected(text).is_none_or(|found| found.lang() == self.0)
    }

    /// Returns true unless a text is clearly in another language. Texts of a few words seldom are.
    #[must_use]
    pub fn may_be_of(self, text: &str) -> bool {
        detected(text).is_none_or(|found| found.lang() == self.0 || !found.is_reliable())
    }
}

/// Recognises a language among those of IFEval and others that `langdetect` knows.
fn detected(text: &str) -> Option<Info> {
    static DETECTOR: LazyLock<Detector> = LazyLock::new(|| {
        let known = CODES.iter().map(|(_, language)| *language);
        Detector::with_allowlist(known.chain(OTHERS).collect())
    });
    DETECTOR.detect(text)
}

/// Languages that the published program also knows, beside those of IFEval.
const OTHERS: [Lang; 21] = [
    Lang::Afr,
    Lang::Cat,
    Lang::Ces,
    Lang::Cmn,
    Lang::Dan,
    Lang::Ell,
    Lang::Est,
    Lang::Hrv,
    Lang::Hun,
    Lang::Ind,
    Lang::Lit,
    Lang::Lav,
    Lang::Mkd,
    Lang::Nld,
    Lang::Nob,
    Lang::Ron,
    Lang::Slk,
    Lang::Slv,
    Lang::Swe,
    Lang::Tgl,
    Lang::Tur,
];

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn languages_are_told_apart() {
        let german = Language::of_code("de").unwrap();
        let text = "Der Zug fährt heute leider eine Stunde später ab.";
        assert!(german.is_of(text) && !Language::ENGLISH.is_of(text));
        assert!(Language::ENGLISH.is_of("12 + 3 = 15"));
        assert!(Language::ENGLISH.may_be_of("i am begging pardon"));
        assert!(!Language::ENGLISH.may_be_of(text));
        assert!(Language::of_code("xx").is_err());
    }
}
