//! Checks of the options for files of ranked answers.

use collimate::data::RankedOptions;

use super::args::Config;
use crate::common::Failure;
use crate::options::Given;

/// Returns true if the user typed an option for judgements of ranked answers.
pub(super) fn given_eft(given: &Given) -> bool {
    let names = ["from", "order", "thin"];
    names
        .iter()
        .any(|name| given.typed(&format!("recipe.eft.{name}")))
}

/// Checks the options for files of ranked answers.
pub(super) fn check_ranked(config: &Config, given: &Given) -> Result<(), Failure> {
    let filter = &config.ranked_filter;
    if filter.least < 2 {
        let least = filter.least;
        return Err(format!(
            "ranked_filter.least is {least} but must be at least 2, because an order needs two \
             answers"
        )
        .into());
    }
    if config.ranked.is_some() {
        return Ok(());
    }
    if config.rank_test.is_none() && *filter != RankedOptions::default() {
        return Err("ranked_filter needs --ranked or --rank-test".into());
    }
    if config.eft_judge.is_some() {
        return Err("eft_judge needs --ranked, because otherwise there is nothing to judge".into());
    }
    match given_eft(given) {
        true => {
            Err("recipe.eft needs --ranked, because judgements are made from ranked answers".into())
        }
        false => Ok(()),
    }
}
